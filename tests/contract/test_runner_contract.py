"""What every runner guarantees. A new runner joins by an entry in tooling.runners.RUNNERS."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.services.engine import TEST_LABEL, remove_images
from tooling.errors import StageFailed
from tooling.runners import RUNNERS, open_runner
from tooling.runners.protocol import Job, Outcome, Runner
from tooling.settings import read_settings
from tooling.spec.component import ComponentSpec
from tooling.version import ComponentVersion, VersionedFile

COMPONENT = "contract/stage"
# Nobody else's: what one worker removes in the end, no other is still using.
LABEL = f"{TEST_LABEL}={os.urandom(6).hex()}"
DOCKERFILE = f"""\
FROM python:3.11-slim
COPY . /application/
LABEL {LABEL}
ENTRYPOINT ["python", "/application/main.py"]
"""

TELL = "import json, os, sys\nopen(sys.argv[4] + '/told.json', 'w').write(json.dumps({}))\n"
# A descendant that would live for minutes, and holds a lock for as long as it lives.
HOLD = """\
import fcntl, os, subprocess, sys, time
lock = open(os.environ["TMPDIR"] + "/held", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], pass_fds=[lock.fileno()])
"""


class Laboratory:
    """Makes stages from sources and runs them."""

    def __init__(self, runner: Runner, directory: Path) -> None:
        self.runner = runner
        self.directory = directory
        self.lines: list[str] = []
        self.announced: list[str] = []

    def job(self, source: str, *arguments: str, name: str = "stage", **more: Any) -> Job:
        """A job, prepared, whose main.py is `source`; a library `shared` lies beside it."""
        place = self.directory / name
        snapshot = self.snapshot(place, source)
        version = version_of(source)
        for part in ("input", "output", "scratch"):
            (place / part).mkdir()
        (place / "input" / "given.csv").write_text("x\n1\n", encoding="utf-8")
        return Job(
            label="pipeline:stage",
            component=version.name,
            version=version.digest,
            run=f"20200101T000000000Z-{os.urandom(4).hex()}",
            prepared=self.runner.prepare(version, lambda: snapshot, self.announced.append),
            arguments=arguments,
            input=str(place / "input"),
            places={"": place / "input"},
            output=place / "output",
            scratch=place / "scratch",
            log=place / "log.txt",
            **more,
        )

    def snapshot(self, place: Path, source: str) -> Path:
        """The files of the version whose main.py is `source`."""
        snapshot = place / "snapshot"
        (snapshot / "shared").mkdir(parents=True)
        (snapshot / "main.py").write_text(source, encoding="utf-8")
        (snapshot / "shared" / "__init__.py").write_text("NAME = 'shared'\n", encoding="utf-8")
        (snapshot / "requirements.txt").touch()
        (snapshot / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
        return snapshot

    def run(self, job: Job, on_line: Callable[[str], None] | None = None) -> Outcome:
        """Execute the job; what it says is kept in `lines`."""
        return self.runner.execute(job, on_line or self.lines.append)

    def told(self, expression: str, *arguments: str) -> Any:
        """What a stage finds the expression to be."""
        job = self.job(TELL.format(expression), *arguments)
        assert self.run(job).exit_code == 0, self.lines
        return json.loads((job.output / "told.json").read_text(encoding="utf-8"))


def version_of(source: str) -> ComponentVersion:
    """A version that stands for this main.py."""
    digest = hashlib.sha256((DOCKERFILE + source).encode()).hexdigest()
    return ComponentVersion(
        name=COMPONENT,
        digest=f"sha256:{digest}",
        files=tuple(
            VersionedFile(path, "100644", "", path)
            for path in ("Dockerfile", "main.py", "requirements.txt", "shared/__init__.py")
        ),
        spec=ComponentSpec(),
        libraries=(),
        bases=(("python:3.11-slim", "python:3.11-slim"),),
        platform="linux/amd64",
        warnings=(),
    )


@pytest.fixture(scope="session", params=RUNNERS)
def runner(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runner]:
    """Each runner; of the docker runner's images none is left in the end."""
    directory = tmp_path_factory.mktemp("runner")
    environ = {"HOME": str(directory)}
    if request.param != "docker":
        yield open_runner(request.param, read_settings(directory, environ))
        return
    client = request.getfixturevalue("engine")
    yield open_runner(request.param, read_settings(directory, environ))
    remove_images(client, label=LABEL)


@pytest.fixture
def laboratory(runner: Runner, tmp_path: Path) -> Laboratory:
    return Laboratory(runner, tmp_path)


def released(job: Job) -> bool:
    """Whether what HOLD started is gone, or goes within seconds of the signal it has been sent."""
    with open(job.scratch / "held") as lock:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                os.sched_yield()
    return False


def test_it_names_itself_and_its_environment(laboratory: Laboratory) -> None:
    assert laboratory.runner.name in RUNNERS
    assert laboratory.runner.environment_class


def test_input_is_read_and_output_written(laboratory: Laboratory) -> None:
    source = (
        "import shutil, sys\nshutil.copy(sys.argv[2] + '/given.csv', sys.argv[4] + '/taken.csv')\n"
    )
    job = laboratory.job(source)
    outcome = laboratory.run(job)
    assert outcome.exit_code == 0
    assert outcome.seconds > 0
    assert (job.output / "taken.csv").read_text() == "x\n1\n"


@pytest.mark.parametrize(
    "value",
    [
        "'; touch /tmp/x; #",
        "$(id)",
        "a b",
        "",
        "größe 数",
        "--not-a-flag",
        "a\nb",
        "*",
        "\\",
        '"',
    ],
)
def test_arguments_arrive_as_they_are(laboratory: Laboratory, value: str) -> None:
    assert laboratory.told("sys.argv[5:]", "--name", value) == ["--name", value]


def test_paths_may_hold_spaces_and_any_letter(laboratory: Laboratory) -> None:
    laboratory.directory /= "ein größerer Ort"
    assert laboratory.told("os.listdir(sys.argv[2])") == ["given.csv"]


def test_libraries_beside_the_entrypoint_are_imported(laboratory: Laboratory) -> None:
    assert laboratory.told("__import__('shared').NAME") == "shared"


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_the_exit_code_comes_back(laboratory: Laboratory, code: int) -> None:
    assert laboratory.run(laboratory.job(f"raise SystemExit({code})")).exit_code == code


def test_a_signal_comes_back_as_its_negative_number(laboratory: Laboratory) -> None:
    source = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
    assert laboratory.run(laboratory.job(source)).exit_code == -9


def test_all_it_says_goes_to_the_log_and_the_listener_in_order(laboratory: Laboratory) -> None:
    source = "import sys\nfor i in range(3): print('out', i); print('err', i, file=sys.stderr)\n"
    job = laboratory.job(source)
    laboratory.run(job)
    # A container's two streams are two: their lines may change places, those of one never do.
    for stream in ("out", "err"):
        said = [line for line in laboratory.lines if line.startswith(stream)]
        assert said == [f"{stream} {count}" for count in range(3)]
    assert len(laboratory.lines) == 6
    assert job.log.read_text(encoding="utf-8").splitlines() == laboratory.lines


def test_a_line_is_given_on_before_the_stage_ends(laboratory: Laboratory) -> None:
    source = "import sys\nprint('ready')\nwhile not __import__('os').path.exists(sys.argv[4] + '/go'): pass\n"
    job = laboratory.job(source)
    assert laboratory.run(job, lambda line: (job.output / "go").touch()).exit_code == 0


def test_any_bytes_may_be_said(laboratory: Laboratory) -> None:
    source = "import os\nos.write(1, b'caf\\xe9 \\xf0\\x9f\\x8e\\x89\\r\\n\\0nul\\nrest')\n"
    job = laboratory.job(source)
    laboratory.run(job)
    assert laboratory.lines == ["caf\ufffd 🎉", "\0nul", "rest"]
    assert job.log.read_text(encoding="utf-8") == "caf\ufffd 🎉\n\0nul\nrest\n"


def test_much_may_be_said(laboratory: Laboratory) -> None:
    laboratory.run(laboratory.job("for i in range(200_000): print(i)\n"))
    assert laboratory.lines == [str(count) for count in range(200_000)]


def test_nothing_can_be_asked(laboratory: Laboratory) -> None:
    assert laboratory.told("sys.stdin.read()") == ""


def test_what_could_vary_is_fixed(laboratory: Laboratory) -> None:
    told = laboratory.told(
        "[hash('a'), __import__('time').tzname[0], sys.stdout.encoding, open(os.devnull).encoding]"
    )
    again = Laboratory(laboratory.runner, laboratory.directory / "again").told("[hash('a')]")
    assert told[0] == again[0]
    assert told[1] == "UTC"
    assert [name.lower() for name in told[2:]] == ["utf-8", "utf-8"]


def test_what_surrounds_it_stays_outside(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [
        "DAINTREE_STORE",
        "GIT_DIR",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "SOME_TOKEN",
        "VIRTUAL_ENV",
    ]
    for name in names:
        monkeypatch.setenv(name, "/from/outside")
    told = laboratory.told("dict(os.environ)")
    assert not set(names) & set(told)


def test_temporary_files_land_in_scratch(laboratory: Laboratory) -> None:
    job = laboratory.job("import tempfile\ntempfile.mkstemp(prefix='temporary-')\n")
    assert laboratory.run(job).exit_code == 0
    assert [path.name.partition("-")[0] for path in job.scratch.iterdir()] == ["temporary"]
    assert not any(job.output.iterdir())


def test_it_has_a_home(laboratory: Laboratory) -> None:
    assert laboratory.told("os.access(os.path.expanduser('~'), os.W_OK)") is True


def test_the_snapshot_stays_as_it_is(laboratory: Laboratory) -> None:
    job = laboratory.job("import shared\n")
    snapshot = laboratory.directory / "stage" / "snapshot"
    before = sorted(snapshot.rglob("*"))
    assert laboratory.run(job).exit_code == 0
    assert sorted(snapshot.rglob("*")) == before


def test_its_memory_is_measured(laboratory: Laboratory) -> None:
    ballast = bytearray(b"x") * 150_000_000
    # A container's memory is sampled: it lives for many samples, however busy the machine is.
    source = "x = bytearray(b'x') * 50_000_000\nsum(range(50_000_000))\n"
    outcome = laboratory.run(laboratory.job(source))
    assert len(ballast) == 150_000_000
    assert 50_000_000 <= outcome.peak_memory < 140_000_000


def test_what_outlives_it_is_ended(laboratory: Laboratory) -> None:
    job = laboratory.job(HOLD)
    assert laboratory.run(job).exit_code == 0
    assert released(job)


def test_an_exception_ends_it_and_its_children(laboratory: Laboratory) -> None:
    job = laboratory.job(HOLD + "print('held', flush=True)\nchild.wait()\n")

    def refuse(line: str) -> None:
        raise ZeroDivisionError(line)

    with pytest.raises(ZeroDivisionError, match="held"):
        laboratory.run(job, refuse)
    assert released(job)


def test_it_ends_when_it_is_cancelled(laboratory: Laboratory) -> None:
    cancelled = threading.Event()
    job = laboratory.job(
        HOLD + "print('held', flush=True)\nchild.wait()\n", cancelled=cancelled.is_set
    )
    with pytest.raises(KeyboardInterrupt):
        laboratory.run(job, lambda line: cancelled.set())
    assert released(job)


def test_several_run_side_by_side(laboratory: Laboratory) -> None:
    # Each waits for the file of the other: one after the other they would never end.
    source = (
        "import os, sys\nos.chdir(os.environ['TMPDIR'])\nmine, other = sys.argv[5:7]\nopen(mine, 'w')\n"
        "while not os.path.exists(other): pass\n"
    )
    shared = laboratory.directory / "shared"
    shared.mkdir()
    jobs = [
        msgspec.structs.replace(
            laboratory.job(source, *order, name=f"stage-{order[0]}"), scratch=shared
        )
        for order in (("a", "b"), ("b", "a"))
    ]
    outcomes: list[Outcome] = []
    threads = [
        threading.Thread(target=lambda job=job: outcomes.append(laboratory.run(job)), daemon=True)
        for job in jobs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [outcome.exit_code for outcome in outcomes] == [0, 0]


def test_a_stage_that_cannot_be_started_says_so(laboratory: Laboratory) -> None:
    job = laboratory.job("pass", "--name", "nul\0byte")
    with pytest.raises(StageFailed, match=r"stage pipeline:stage: cannot be started: .*null byte"):
        laboratory.run(job)


def test_a_log_that_cannot_be_written_ends_it(laboratory: Laboratory) -> None:
    job = laboratory.job("print('x')\n")
    job.log.mkdir()
    with pytest.raises(StageFailed, match=r"stage pipeline:stage: cannot write the log .*log.txt"):
        laboratory.run(job)


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_under_the_log_ends_it(laboratory: Laboratory) -> None:
    job = laboratory.job(HOLD + "print('held', flush=True)\nchild.wait()\n")
    job.log.symlink_to("/dev/full")
    with pytest.raises(StageFailed, match="No space left on device"):
        laboratory.run(job)
    assert released(job)


def test_the_command_can_be_repeated_by_hand(laboratory: Laboratory) -> None:
    from tooling.process import capture

    job = laboratory.job(TELL.format("sys.argv[5:]"), "--name", "a value")
    command, variables = laboratory.runner.command(job)
    assert capture(command, env=variables, cwd=job.scratch).code == 0
    assert json.loads((job.output / "told.json").read_text()) == ["--name", "a value"]
