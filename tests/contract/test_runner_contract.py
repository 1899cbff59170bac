"""What every runner guarantees of a stage that runs: what it is given, what it finds around it, and what it says."""

from __future__ import annotations

import json
import threading

import msgspec
import pytest

from daintree.errors import EnvironmentFailed
from daintree.runners import RUNNERS
from daintree.runners.runner import Outcome
from daintree.spec.component import ComponentSpec, Resources
from tests.contract.stages import TELL, StageMaker, version_of


def test_it_names_itself_and_its_environment(stages: StageMaker) -> None:
    assert stages.runner.name in RUNNERS
    assert stages.runner.environment_class(ComponentSpec())


def test_input_is_read_and_output_written(stages: StageMaker) -> None:
    source = (
        "import shutil, sys\nshutil.copy(sys.argv[2] + '/given.csv', sys.argv[4] + '/taken.csv')\n"
    )
    job = stages.job(source)
    outcome = stages.run(job)
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
def test_arguments_arrive_as_they_are(stages: StageMaker, value: str) -> None:
    assert stages.evaluate("sys.argv[5:]", "--name", value) == ["--name", value]


def test_paths_may_hold_spaces_and_any_letter(stages: StageMaker) -> None:
    stages.directory /= "ein größerer Ort"
    assert stages.evaluate("os.listdir(sys.argv[2])") == ["given.csv"]


def test_libraries_beside_the_entrypoint_are_imported(stages: StageMaker) -> None:
    assert stages.evaluate("__import__('shared').NAME") == "shared"


def test_all_it_says_goes_to_the_log_and_the_listener_in_order(stages: StageMaker) -> None:
    source = "import sys\nfor i in range(3): print('out', i); print('err', i, file=sys.stderr)\n"
    job = stages.job(source)
    stages.run(job)
    # A container's two streams are two: their lines may change places, those of one never do.
    for stream in ("out", "err"):
        printed = [line for line in stages.lines if line.startswith(stream)]
        assert printed == [f"{stream} {count}" for count in range(3)]
    assert len(stages.lines) == 6
    assert job.log.read_text(encoding="utf-8").splitlines() == stages.lines


def test_a_line_is_given_on_before_the_stage_ends(stages: StageMaker) -> None:
    source = "import sys\nprint('ready')\nwhile not __import__('os').path.exists(sys.argv[4] + '/go'): pass\n"
    job = stages.job(source)
    assert stages.run(job, lambda line: (job.output / "go").touch()).exit_code == 0


def test_any_bytes_may_be_said(stages: StageMaker) -> None:
    source = "import os\nos.write(1, b'caf\\xe9 \\xf0\\x9f\\x8e\\x89\\r\\n\\0nul\\nrest')\n"
    job = stages.job(source)
    stages.run(job)
    assert stages.lines == ["caf\ufffd 🎉", "\0nul", "rest"]
    assert job.log.read_text(encoding="utf-8") == "caf\ufffd 🎉\n\0nul\nrest\n"


def test_much_may_be_said(stages: StageMaker) -> None:
    stages.run(stages.job("for i in range(200_000): print(i)\n"))
    assert stages.lines == [str(count) for count in range(200_000)]


def test_nothing_can_be_asked(stages: StageMaker) -> None:
    assert stages.evaluate("sys.stdin.read()") == ""


def test_what_could_vary_is_fixed(stages: StageMaker) -> None:
    answer = stages.evaluate(
        "[hash('a'), __import__('time').tzname[0], sys.stdout.encoding, open(os.devnull).encoding]"
    )
    again = StageMaker(stages.runner, stages.directory / "again").evaluate("[hash('a')]")
    assert answer[0] == again[0]
    assert answer[1] == "UTC"
    assert [name.lower() for name in answer[2:]] == ["utf-8", "utf-8"]


def test_what_surrounds_it_stays_outside(
    stages: StageMaker, monkeypatch: pytest.MonkeyPatch
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
    answer = stages.evaluate("dict(os.environ)")
    assert not set(names) & set(answer)


def test_a_stage_gets_the_variables_that_it_names_and_no_others(
    stages: StageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "MINIO_SECRET_KEY", "HF_TOKEN", "DB_PASSWORD"):
        monkeypatch.setenv(name, f"value of {name}")
    job = stages.job(TELL.format("dict(os.environ)"), env=("DB_PASSWORD",))
    assert stages.run(job).exit_code == 0
    answer = json.loads((job.output / "told.json").read_text())
    assert answer["DB_PASSWORD"] == "value of DB_PASSWORD"
    assert not {"AWS_SECRET_ACCESS_KEY", "MINIO_SECRET_KEY", "HF_TOKEN"} & set(answer)


def test_a_variable_that_is_named_and_not_set_is_refused_before_anything_is_made(
    stages: StageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DB_PASSWORD", raising=False)
    version = version_of("")
    needy = msgspec.structs.replace(version, spec=ComponentSpec(env=("DB_PASSWORD",)))
    refusal = stages.runner.refusal(needy)
    assert refusal is not None
    assert "needs the environment variable DB_PASSWORD" in refusal.message
    with pytest.raises(EnvironmentFailed, match="DB_PASSWORD"):
        stages.runner.prepare(needy, lambda: pytest.fail("a snapshot"), lambda line: None)
    assert stages.runner.refusal(version) is None


def test_a_stage_that_asks_for_nothing_needs_no_caution(stages: StageMaker) -> None:
    stages.runner.check()
    assert stages.runner.caution(Resources()) == ""


def test_a_secret_is_in_no_log_and_no_line(
    stages: StageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----"
    monkeypatch.setenv("DB_PASSWORD", "open sesame")
    monkeypatch.setenv("DB_KEY", secret)
    source = (
        "import os, sys, time\n"
        "password, key = os.environ['DB_PASSWORD'], os.environ['DB_KEY']\n"
        "print('user:', password, flush=True)\n"
        "print(key.replace(chr(10), ' | '), flush=True)\n"
        "print(key, file=sys.stderr, flush=True)\n"
        "for part in (password[:4], password[4:], '!' + chr(10)):\n"
        "    print(part, end='', flush=True); time.sleep(0.05)\n"
        "print('x' * 65_530 + password)\n"
        "sys.exit(password)\n"
    )
    job = stages.job(source, env=("DB_PASSWORD", "DB_KEY"))
    assert stages.run(job).exit_code == 1
    log = job.log.read_text(encoding="utf-8")
    assert sorted(log.splitlines()) == sorted(stages.lines)
    for part in ("sesame", "MIIEvQ", "END KEY"):
        assert part not in log
    assert {"user: ***", "*** | *** | ***", "***!"} <= set(stages.lines)


def test_a_socket_fits_into_the_temporary_directory(stages: StageMaker) -> None:
    stages.directory /= "a-place-with-a-name" * 4
    source = (
        "import multiprocessing, socket, tempfile\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.Manager() as manager: manager.dict(a=1)\n"
        "    socket.socket(socket.AF_UNIX).bind(tempfile.mkdtemp() + '/' + 's' * 20)\n"
    )
    assert stages.run(stages.job(source)).exit_code == 0, stages.lines


def test_temporary_files_land_in_scratch(stages: StageMaker) -> None:
    job = stages.job("import tempfile\ntempfile.mkstemp(prefix='temporary-')\n")
    assert stages.run(job).exit_code == 0
    assert [path.name.partition("-")[0] for path in job.scratch.iterdir()] == ["temporary"]
    assert not any(job.output.iterdir())


def test_it_has_a_home(stages: StageMaker) -> None:
    assert stages.evaluate("os.access(os.path.expanduser('~'), os.W_OK)") is True


def test_the_snapshot_stays_as_it_is(stages: StageMaker) -> None:
    job = stages.job("import shared\n")
    snapshot = stages.directory / "stage" / "snapshot"
    before = sorted(snapshot.rglob("*"))
    assert stages.run(job).exit_code == 0
    assert sorted(snapshot.rglob("*")) == before


def test_its_memory_is_measured(stages: StageMaker) -> None:
    ballast = bytearray(b"x") * 150_000_000
    # A container's memory is sampled: it lives for many samples, however busy the machine is.
    source = "x = bytearray(b'x') * 50_000_000\nsum(range(50_000_000))\n"
    outcome = stages.run(stages.job(source))
    assert len(ballast) == 150_000_000
    assert 50_000_000 <= outcome.peak_memory < 140_000_000


def test_several_run_side_by_side(stages: StageMaker) -> None:
    # Each waits for the file of the other: one after the other they would never end.
    source = (
        "import os, sys\nos.chdir(os.environ['TMPDIR'])\nmine, other = sys.argv[5:7]\nopen(mine, 'w')\n"
        "while not os.path.exists(other): pass\n"
    )
    shared = stages.directory / "shared"
    shared.mkdir()
    jobs = [
        msgspec.structs.replace(
            stages.job(source, *order, name=f"stage-{order[0]}"), scratch=shared
        )
        for order in (("a", "b"), ("b", "a"))
    ]
    outcomes: list[Outcome] = []
    threads = [
        threading.Thread(target=lambda job=job: outcomes.append(stages.run(job)), daemon=True)
        for job in jobs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [outcome.exit_code for outcome in outcomes] == [0, 0]


def test_the_command_can_be_repeated_in_a_shell(stages: StageMaker) -> None:
    from daintree.process import capture

    job = stages.job(TELL.format("sys.argv[5:]"), "--name", "a value")
    command, variables = stages.runner.command(job)
    assert capture(command, env=variables, cwd=job.scratch).code == 0
    assert json.loads((job.output / "told.json").read_text()) == ["--name", "a value"]
