"""`doit build` without a push: what a real engine has then, and what it stops doing."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

from tests.services.engine import remove_images
from tests.services.image_project import NO_ENGINE

if TYPE_CHECKING:
    from docker import APIClient

    from tests.services.image_project import ImageProject


def test_without_a_push_images_stay_here(image_project: ImageProject, engine: APIClient) -> None:
    built = image_project.build("text/load")["text/load"]
    assert (built["action"], built["pushed"], built["digest"]) == ("built", False, None)
    assert image_project.tags("text/load") == []
    image = engine.inspect_image(built["image"])
    assert built["image"].rpartition(":")[0] + ":dev" in image["RepoTags"]
    assert "org.opencontainers.image.revision" in image["Config"]["Labels"]
    # What the engine has is pushed as it is.
    again = image_project.build("--push", "text/load")["text/load"]
    assert again["pushed"]
    assert again["reasons"][-1] == "the engine had it already"


def test_what_the_engine_has_under_a_registrys_name_alone_gets_its_own(
    image_project: ImageProject, engine: APIClient
) -> None:
    built = image_project.build("text/load")["text/load"]
    local = {"DAINTREE_REGISTRY": ""}
    try:
        here = image_project.build("text/load", "--dry-run", env=local)["text/load"]
        assert (here["action"], here["image"].partition(":")[0]) == ("present", "text/load")
        assert here["image"] not in engine.inspect_image(built["image"])["RepoTags"]
        assert image_project.build("text/load", env=local)["text/load"]["action"] == "present"
        assert (
            engine.inspect_image(here["image"])["Id"] == engine.inspect_image(built["image"])["Id"]
        )
    finally:
        remove_images(engine, reference="text/load")


def test_the_engine_alone(image_project: ImageProject, engine: APIClient) -> None:
    project = image_project.project
    name = f"text/only{image_project.prefix}"
    project.write(f"components/{name}/Dockerfile", "FROM scratch\nCOPY . /\n")
    local = {"DAINTREE_REGISTRY": ""}
    assert image_project.actions(name, "--dry-run", env=local) == {name: "would-build"}
    try:
        first = image_project.build(name, env=local)[name]
        assert (first["action"], first["image"].partition(":")[0]) == ("built", name)
        assert image_project.actions(name, env=local) == {name: "present"}
        assert (
            engine.inspect_image(f"{name}:dev")["Config"]["Labels"]["ml.daintree.component"] == name
        )
        complaint = image_project.refused(name, "--push", env=local)
        assert "error: --push needs a registry\nhint: set DAINTREE_REGISTRY" in complaint
        complaint = image_project.refused(name, env={**local, **NO_ENGINE})
        assert "error: the Docker engine is not running" in complaint
    finally:
        remove_images(engine, label=f"ml.daintree.component={name}")


def test_an_interrupt_ends_the_build_in_the_engine_too(
    image_project: ImageProject, engine: APIClient
) -> None:
    project = image_project.project
    mark = f"sleep 600 # {image_project.prefix}"
    project.write("components/text/load/Dockerfile", f"FROM python:3.11-slim\nRUN {mark}\n")
    process = project.start("build", "text/load")
    assert process.stderr is not None
    for line in process.stderr:
        if "Step 2/" in line:
            break
    process.send_signal(signal.SIGINT)
    done = project.finish(process)
    assert done.code == 130
    assert "error: interrupted" in done.stderr
    # The engine notices that nobody listens any more.
    for _ in range(600):
        containers = engine.containers(all=True)
        if not any(mark in container["Command"] for container in containers):
            break
        threading.Event().wait(0.1)
    else:
        raise AssertionError("the build goes on")
