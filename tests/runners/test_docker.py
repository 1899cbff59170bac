"""The docker runner on a real engine: what the contract does not say."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from daintree.errors import EngineError, StageFailed
from daintree.images.registry import OWNER_LABEL, RUN_LABEL
from daintree.runners.container import Capacity, container_of, this_process, write_owner
from daintree.runners.docker import DockerRunner, _capacity, _created, _exit_code, remove_orphans
from daintree.runners.runner import Job, Prepared
from daintree.settings import read_settings
from daintree.spec.component import Resources
from tests.services.engine import BASE_IMAGE, TEST_LABEL

if TYPE_CHECKING:
    from docker import APIClient


@pytest.fixture
def runner(engine: APIClient, tmp_path: Path) -> DockerRunner:
    return DockerRunner(read_settings(tmp_path, {"HOME": str(tmp_path)}))


def job(place: Path, image: str, **more: Any) -> Job:
    """A job whose command line the image does not read."""
    for part in ("input", "output", "scratch"):
        (place / part).mkdir()
    given: dict[str, Any] = {
        "label": "pipeline:stage",
        "component": "group/name",
        "version": "",
        "run": f"test-{os.urandom(4).hex()}",
        "prepared": Prepared(image=image),
        "arguments": (),
        "input": str(place / "input"),
        "places": {"": place / "input"},
        "output": place / "output",
        "scratch": place / "scratch",
        "log": place / "log.txt",
        **more,
    }
    return Job(**given)


def test_a_runner_without_an_engine_says_so_before_any_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    runner = DockerRunner(read_settings(tmp_path, {"HOME": str(tmp_path)}))
    with pytest.raises(EngineError, match="the Docker engine is not running at unix:///nowhere"):
        runner.check()


def test_an_image_that_is_gone_is_said(runner: DockerRunner, tmp_path: Path) -> None:
    gone = job(tmp_path, "sha256:" + "0" * 64)
    with pytest.raises(StageFailed, match="stage pipeline:stage: cannot be started: No such image"):
        runner.execute(gone, print)


def test_an_image_without_a_program_is_said_and_leaves_no_container(
    runner: DockerRunner, engine: APIClient, tmp_path: Path
) -> None:
    # Its command is this stage's first argument, which is no program.
    made = job(tmp_path, engine.inspect_image(BASE_IMAGE)["Id"])
    lines: list[str] = []
    assert runner.execute(made, lines.append).exit_code == 127
    assert "exec --input failed: No such file or directory" in lines[0]
    named = engine.containers(all=True, filters={"label": f"{RUN_LABEL}={made.run}"})
    assert named == []


def test_a_container_that_takes_long_to_end_is_waited_for(engine: APIClient) -> None:
    made = engine.create_container(BASE_IMAGE, ["sleep", "600"], labels=[TEST_LABEL])
    calls: list[bool] = []

    def cancelled() -> bool:
        """Once it was waited for in vain, the container is made to end."""
        if not calls:
            engine.kill(made["Id"])
        calls.append(True)
        return False

    try:
        engine.start(made["Id"])
        assert _exit_code(engine, made["Id"], cancelled) == 137
        assert calls
    finally:
        engine.remove_container(made["Id"], force=True)


def test_waiting_for_a_container_ends_when_it_is_cancelled(engine: APIClient) -> None:
    made = engine.create_container(BASE_IMAGE, ["sleep", "600"], labels=[TEST_LABEL])
    try:
        engine.start(made["Id"])
        with pytest.raises(KeyboardInterrupt):
            _exit_code(engine, made["Id"], lambda: True)
    finally:
        engine.remove_container(made["Id"], force=True)


def test_a_gpu_is_asked_of_the_engine(engine: APIClient, tmp_path: Path) -> None:
    image = engine.inspect_image(BASE_IMAGE)["Id"]
    made = job(tmp_path, image, resources=Resources(gpu=1))
    settings = read_settings(tmp_path, {"HOME": str(tmp_path)})
    wanted = container_of(made, {}, settings, Capacity(2, 1 << 30), user="0:0", groups=())
    with _created(engine, wanted, made):
        host = engine.inspect_container(wanted.name)["HostConfig"]
    [request] = host["DeviceRequests"]
    assert (request["Count"], request["Capabilities"]) == (1, [["gpu"]])


def test_an_engine_that_does_not_see_the_directories_is_said(
    runner: DockerRunner, engine: APIClient, tmp_path: Path
) -> None:
    made = job(
        tmp_path, engine.inspect_image(BASE_IMAGE)["Id"], places={"": tmp_path / "elsewhere"}
    )
    with pytest.raises(StageFailed, match="the Docker engine does not see this machine's dir") as e:
        runner.execute(made, print)
    assert e.value.hint == "use an engine on this machine that shares them, or --runner local"


@pytest.mark.parametrize("option", ["name=rootless", "name=userns"])
def test_an_engine_with_other_users_is_refused(option: str) -> None:
    with pytest.raises(EngineError, match="other user ids") as failure:
        _capacity({"NCPU": 2, "SecurityOptions": ["name=seccomp,profile=default", option]})
    assert failure.value.hint == "use an engine that runs as root, or --runner local"
    engine = {"NCPU": 2, "MemTotal": 4096, "SecurityOptions": ["name=seccomp,profile=default"]}
    assert _capacity(engine) == Capacity(2, 4096)
    assert _capacity({**engine, "Runtimes": {"runc": {}, "nvidia": {}}}).nvidia


def test_an_engine_without_nvidia_s_runtime_may_refuse_a_gpu(runner: DockerRunner) -> None:
    runner.check()
    assert "asks for 2 GPUs, and the Docker engine names no" in runner.caution(Resources(gpu=2))


@contextmanager
def container(engine: APIClient, owner: str) -> Iterator[str]:
    made = engine.create_container(
        BASE_IMAGE, ["true"], labels={TEST_LABEL: "owner", OWNER_LABEL: owner}
    )
    try:
        yield made["Id"]
    finally:
        for listed in engine.containers(all=True, filters={"id": made["Id"]}):
            engine.remove_container(listed["Id"], force=True)


def is_there(engine: APIClient, name: str) -> bool:
    return bool(engine.containers(all=True, filters={"id": name}))


def dead_owner() -> str:
    source = "from daintree.runners.container import this_process, write_owner\nprint(write_owner(this_process()))"
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_containers_of_the_dead_are_removed(engine: APIClient) -> None:
    with container(engine, dead_owner()) as left:
        remove_orphans(engine)
        assert not is_there(engine, left)


def test_containers_of_the_living_and_of_others_stay(engine: APIClient) -> None:
    other_machine = msgspec.structs.replace(this_process(), machine="elsewhere")
    for owner in (write_owner(this_process()), write_owner(other_machine), "of nobody"):
        with container(engine, owner) as container_id:
            remove_orphans(engine)
            assert is_there(engine, container_id)


def test_of_an_earlier_start_of_this_machine_the_ended_ones_go(engine: APIClient) -> None:
    before = write_owner(msgspec.structs.replace(this_process(), boot="another start"))
    with container(engine, before) as left:
        remove_orphans(engine)
        assert is_there(engine, left)
        engine.start(left)
        engine.wait(left)
        remove_orphans(engine)
        assert not is_there(engine, left)
