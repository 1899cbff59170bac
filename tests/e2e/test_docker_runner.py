"""`--runner docker`: each stage in a container of its component's image, and none left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.images.registry import VERSION_LABEL
from tests.e2e.projects import DOIT, Project
from tests.services.availability import unavailable

if TYPE_CHECKING:
    from docker import APIClient

# Somebody who is in no password file.
STRANGER = 54321
TELL = """\
def told(name):
    return open(name).read() if os.path.exists(name) else ""

def writable(name):
    try:
        Path(name, "probe").write_text("")
        return True
    except OSError:
        return False

try:
    import socket
    socket.create_connection(("192.0.2.1", 9), 1)
    network = "reached"
except OSError as error:
    network = error.strerror or "no answer"
status = dict(line.split(":", 1) for line in told("/proc/self/status").splitlines())
(output / "told.json").write_text(json.dumps({
    "user": [os.getuid(), os.getgid()],
    "home": writable(os.environ["HOME"]),
    "name": os.environ["USER"],
    "temporary": writable("/tmp"),
    "input": writable(input),
    "root": writable("/") or writable("/application"),
    "capabilities": int(status["CapEff"], 16),
    "privileges": status["NoNewPrivs"].strip(),
    "network": network,
    "interfaces": sorted(os.listdir("/sys/class/net")),
    "limit": (told("/sys/fs/cgroup/memory/memory.limit_in_bytes") or told("/sys/fs/cgroup/memory.max")).strip(),
    "variables": dict(os.environ),
}))
"""
# The stage says its name to the channel of the tests through what it prints, and stays.
STAY = 'signal.alarm(60)\nprint("here", flush=True)\nsignal.pause()\n'


def facts_in_container(project: Project, pipeline: str = "tell") -> dict[str, object]:
    output = project.outputs(pipeline)["tell"]
    facts: dict[str, object] = json.loads((output / "told.json").read_text())
    return facts


def test_a_pipeline_runs_in_containers_and_then_hits(contained: Project) -> None:
    assert contained.run("words") == {"load": "run", "clean": "run", "count": "run"}
    first = contained.contents(contained.output("words"))
    assert contained.run("words") == {"load": "hit", "clean": "hit", "count": "hit"}
    assert contained.run("words", "--force", "count")["count"] == "run"
    assert contained.contents(contained.output("words")) == first


def test_the_record_names_the_image(contained: Project, engine: APIClient) -> None:
    contained.run("words:load")
    run = contained.doit("show", "words:load", "--json").json()
    assert (run["runner"], run["environment"]) == ("docker", "image")
    image = engine.inspect_image(run["image"])
    assert image["Config"]["Labels"][VERSION_LABEL] == run["version"]
    assert run["peak_memory"] > 1_000_000


def test_a_component_without_a_dockerfile_runs_in_the_default_image(
    contained: Project, engine: APIClient
) -> None:
    contained.component("odd/plain", '(output / "x").write_text(sys.version)')
    (contained.root / "components/odd/plain/Dockerfile").unlink()
    contained.pipeline("plain", "odd/plain")
    [output] = contained.outputs("plain").values()
    image = contained.doit("show", "plain:plain", "--json").json()["image"]
    engine.remove_image(image, force=True)
    assert (output / "x").read_text().startswith("3.")


def test_several_inputs_are_a_subdirectory_each(contained: Project) -> None:
    assert set(contained.run("diamond", "-n", "2").values()) == {"run"}
    joined = contained.contents(contained.output("diamond"))["joined.txt"].decode()
    assert joined.startswith("left: ")
    assert "right: " in joined


def test_a_source_may_be_a_directory(contained: Project, tmp_path: Path) -> None:
    body = 'found = sorted(str(p.relative_to(input)) for p in input.rglob("*"))\n(output / "x").write_text(repr(found))'
    contained.component("odd/names", body)
    contained.pipeline("names", "odd/names")
    source = tmp_path / "a: strange, place"
    (source / "größe").mkdir(parents=True)
    (source / "größe" / "a,b:c.txt").write_text("x")
    output = contained.doit("run", "names", "--source", source, "--json").json()["stages"][0][
        "path"
    ]
    assert Path(output, "x").read_text() == "['größe', 'größe/a,b:c.txt']"


def test_a_container_sees_and_may_no_more_than_it_needs(contained: Project) -> None:
    contained.component("odd/tell", TELL)
    contained.pipeline("tell", "odd/tell")
    facts = facts_in_container(contained)
    assert facts["user"] == [os.getuid(), os.getgid()]
    assert (facts["home"], facts["temporary"]) == (True, True)
    assert (facts["input"], facts["root"]) == (False, False)
    assert (facts["capabilities"], facts["privileges"]) == (0, "1")
    assert (facts["network"], facts["interfaces"]) == ("Network is unreachable", ["lo"])
    assert facts["name"]


def test_no_variable_of_the_user_is_there(contained: Project, engine: APIClient) -> None:
    contained.component("odd/tell", TELL)
    contained.pipeline("tell", "odd/tell")
    secret = "s3cr3t-" + os.urandom(4).hex()
    names = ("MINIO_SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "https_proxy")
    mine = contained.at(contained.root, **dict.fromkeys(names, secret))
    assert secret not in json.dumps(facts_in_container(mine))
    assert secret.encode() not in b"".join(
        mine.contents(Path(mine.environ["DAINTREE_STORE"])).values()
    )


def test_a_network_is_there_where_it_is_declared(contained: Project) -> None:
    contained.component("odd/tell", TELL)
    contained.write(
        "components/odd/tell/component.yaml", "network: true\nresources: {memory: 64Mi, cpu: 64}\n"
    )
    contained.pipeline("tell", "odd/tell")
    facts = facts_in_container(contained)
    assert facts["interfaces"] != ["lo"]
    assert facts["limit"] == str(64 << 20)


def test_out_of_memory_is_recognised(contained: Project) -> None:
    contained.component("odd/eat", 'print("eating")\nx = bytearray(b"x") * (200 << 20)\n')
    contained.write("components/odd/eat/component.yaml", "resources: {memory: 32Mi}\n")
    contained.pipeline("eat", "odd/eat")
    complaint = contained.doit("run", "eat").complaint()
    assert (
        "stage eat:eat ran out of memory: limit 32Mi; resources.memory in component.yaml"
        in complaint
    )
    assert complaint.count("eating\n") == 1


def test_a_parameter_arrives_as_it_is(contained: Project, tmp_path: Path) -> None:
    value = f"'; touch {tmp_path}/x; #"
    contained.component(
        "odd/say", '(output / "said").write_text(arguments.word)', word={"type": "str"}
    )
    contained.pipeline("say", {"component": "odd/say", "params": {"word": value}})
    assert (contained.outputs("say")["say"] / "said").read_text() == value
    assert not (tmp_path / "x").exists()


def test_results_of_containers_and_environments_do_not_mix(contained: Project) -> None:
    contained.run("words")
    plan = contained.doit("plan", "words", "--runner", "local", "--json").json()
    assert [stage["status"] for stage in plan["stages"]] == ["miss", "pending", "pending"]
    assert plan["stages"][0]["reason"].endswith("; an image result exists: --runner docker")
    assert contained.run("words", "--runner", "local") == {
        "load": "run",
        "clean": "run",
        "count": "run",
    }
    assert contained.run("words") == {"load": "hit", "clean": "hit", "count": "hit"}


@pytest.fixture
def staying(contained: Project) -> Project:
    """A project with a pipeline `stay` whose stage does not end by itself; its component is this test's alone."""
    contained.component("odd/stay", STAY)
    contained.write("components/odd/stay/nonce", os.urandom(8).hex())
    contained.pipeline("stay", "odd/stay")
    return contained


def until_here(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    assert any("| here" in line for line in process.stderr), "the stage never came there"


def version(project: Project) -> str:
    digest: str = project.doit("plan", "stay", "--json").json()["stages"][0]["version"]
    return digest


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_no_container(
    staying: Project, engine: APIClient, number: signal.Signals, code: int
) -> None:
    process = staying.start("run", "stay")
    until_here(process)
    filters = {"label": f"{VERSION_LABEL}={version(staying)}"}
    assert len(engine.containers(filters=filters)) == 1
    os.killpg(process.pid, number)
    assert staying.finish(process).code == code
    assert engine.containers(all=True, filters=filters) == []
    assert staying.executed("stay") == []


def test_what_a_kill_leaves_goes_with_the_next_start(staying: Project, engine: APIClient) -> None:
    process = staying.start("run", "stay")
    until_here(process)
    filters = {"label": f"{VERSION_LABEL}={version(staying)}"}
    assert len(engine.containers(filters=filters)) == 1
    process.kill()
    staying.finish(process)
    # Any start removes it, so another test's may have been faster.
    staying.run("words:load")
    assert engine.containers(all=True, filters=filters) == []


def test_an_engine_that_is_not_there_is_said(project: Project, tmp_path: Path) -> None:
    away = project.at(project.root, DOCKER_HOST=f"unix://{tmp_path}/nothing.sock")
    complaint = away.doit("run", "words", "--runner", "docker").complaint()
    assert "the Docker engine is not running at unix://" in complaint
    assert away.plan("words", "--runner", "docker")["load"] == "miss"


def test_neither_what_hits_nor_a_local_run_imports_the_engine(contained: Project) -> None:
    contained.run("words:load")
    plan = ("plan", "words:load", "--runner", "docker")
    for arguments in (plan, ("run", "words", "--runner", "local"), ("list",)):
        finished = contained.doit(*arguments, env={"PYTHONPROFILEIMPORTTIME": "1"})
        assert finished.code == 0
        imported = {line.rpartition("|")[2].strip() for line in finished.stderr.splitlines()}
        assert not imported & {"docker", "requests", "urllib3"}


@pytest.fixture
def stranger(contained: Project) -> Iterator[Project]:
    """The project in a place of somebody without rights but that of using the engine."""
    if os.getuid() != 0:
        unavailable("only root can become another user")
    if shutil.which("setpriv") is None:
        unavailable("setpriv is not installed")
    with tempfile.TemporaryDirectory(prefix="stranger: of, two words ") as name:
        place = Path(name)
        shutil.copytree(contained.root, place / "project", symlinks=True)
        for directory in ("home", "store"):
            (place / directory).mkdir()
        for path in (place, *place.rglob("*")):
            os.chown(path, STRANGER, STRANGER, follow_symlinks=False)
        moved = contained.at(
            place / "project",
            HOME=str(place / "home"),
            XDG_CACHE_HOME=str(place / "home/cache"),
            DAINTREE_STORE=str(place / "store"),
            DAINTREE_ENVIRONMENTS=str(place / "environments"),
        )
        shutil.copy(Path(contained.environ["HOME"]) / ".gitconfig", place / "home")
        if moved.doit("list", prefix=as_stranger()).code:
            unavailable(f"{DOIT} is not for every user")
        yield moved


def as_stranger() -> list[str]:
    group = os.stat("/var/run/docker.sock").st_gid
    return ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", f"--groups={group}"]


def test_outputs_are_those_of_whoever_runs(stranger: Project) -> None:
    report = stranger.doit("run", "words", "--json", prefix=as_stranger()).json()
    paths = {stage["name"]: Path(stage["path"]) for stage in report["stages"]}
    assert ":" in str(paths["load"])
    owners = {
        path.stat().st_uid for output in paths.values() for path in (output, *output.iterdir())
    }
    assert owners == {STRANGER}
    again = stranger.doit("run", "words", "--json", prefix=as_stranger()).json()
    assert [stage["status"] for stage in again["stages"]] == ["hit", "hit", "hit"]
