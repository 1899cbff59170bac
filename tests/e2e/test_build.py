"""`doit build` with a real engine and a real registry: which images it builds and why, and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.services.image_project import COMPONENTS, NO_ENGINE, USERS, all_components

if TYPE_CHECKING:
    from docker import APIClient

    from tests.services.image_project import ImageProject


def test_what_is_missing_is_built_and_pushed_once(image_project: ImageProject) -> None:
    assert image_project.actions("--dry-run") == all_components("would-build")
    first = image_project.build("--push")
    assert {name: (c["action"], c["pushed"]) for name, c in first.items()} == dict.fromkeys(
        COMPONENTS, ("built", True)
    )
    for name, component in first.items():
        tag = component["version"].removeprefix("sha256:")[:20]
        reference = f"{image_project.registry.address}/{image_project.prefix}/{name}:{tag}"
        assert component["image"] == reference
        assert component["digest"] == image_project.digest(name, tag)
        assert image_project.tags(name) == sorted([tag, image_project.head(), "latest"])

    again = image_project.build("--push", env=NO_ENGINE)
    assert {name: (c["action"], c["pushed"]) for name, c in again.items()} == dict.fromkeys(
        COMPONENTS, ("present", False)
    )
    assert {name: c["digest"] for name, c in again.items()} == {
        name: c["digest"] for name, c in first.items()
    }


def test_another_clone_builds_nothing_and_needs_no_engine(
    image_project: ImageProject, tmp_path: Path
) -> None:
    image_project.build("--push")
    image_project.project.git("clone", "--quiet", ".", tmp_path / "clone")
    clone = image_project.project.at(
        tmp_path / "clone", XDG_CACHE_HOME=str(tmp_path / "cache of the clone"), **NO_ENGINE
    )
    images = clone.doit("build", "--push", "--json").json()["components"]
    assert {c["name"]: c["action"] for c in images} == all_components("present")


def test_an_edit_builds_one_image_and_a_library_its_users(image_project: ImageProject) -> None:
    image_project.build("--push")
    image_project.edit("text/clean")
    image_project.project.commit()
    built = image_project.build("--push")
    assert [name for name, c in built.items() if c["action"] == "built"] == ["text/clean"]

    library = image_project.project.root / "components/lib/textio/__init__.py"
    library.write_text(library.read_text() + "# changed\n")
    image_project.project.commit()
    built = image_project.build("--push")
    assert [name for name, c in built.items() if c["action"] == "built"] == [*USERS]

    image_project.project.git("revert", "--no-edit", "HEAD")
    assert image_project.actions("--push", env=NO_ENGINE) == all_components("present")


def test_reasons_are_in_words(image_project: ImageProject) -> None:
    image_project.build("--push")
    image_project.edit("text/join")
    library = image_project.project.root / "components/lib/textio/__init__.py"
    library.write_text(library.read_text() + "# changed\n")
    reasons = {name: c["reasons"] for name, c in image_project.build("--dry-run").items()}
    assert reasons["text/join"] == ["affected: main.py changed since HEAD"]
    assert reasons["text/load"] == [
        "affected: uses lib/textio, which changed: __init__.py since HEAD"
    ]
    image_project.project.git("branch", "before")
    image_project.project.commit()
    narrowed = image_project.build("--dry-run", "--base", "before", "text/join")
    assert narrowed["text/join"]["reasons"] == ["affected: main.py changed since before"]
    unexplained = image_project.build("--dry-run", "text/join")
    assert unexplained["text/join"]["reasons"] == ["no image yet"]


def test_a_base_narrows_to_what_is_affected(image_project: ImageProject) -> None:
    image_project.edit("text/clean")
    assert image_project.actions("--base", "HEAD", "--dry-run") == {"text/clean": "would-build"}
    image_project.project.commit()
    assert image_project.actions("--base", "HEAD") == {}
    assert image_project.actions("--base", "HEAD^", "--dry-run") == {"text/clean": "would-build"}
    assert "git knows no commit 'nowhere'" in image_project.refused("--base", "nowhere")


def test_a_push_refuses_what_is_not_committed(image_project: ImageProject) -> None:
    image_project.edit("text/clean")
    complaint = image_project.refused("--push")
    assert "error: text/clean is not committed: main.py changed" in complaint
    assert "hint: commit it and push then" in complaint
    assert image_project.tags("text/clean") == []
    # The others are clean, whatever else lies in the tree.
    assert image_project.actions("--push", "text/load", env=NO_ENGINE) == {"text/load": "present"}
    image_project.project.write("components/text/load/tests/test_more.py", "")
    assert image_project.actions("--push", "text/load", env=NO_ENGINE) == {"text/load": "present"}


def test_labels(image_project: ImageProject) -> None:
    secret = "hunter2"
    image_project.project.git(
        "remote", "add", "origin", f"https://ana:{secret}@git.example/shop?token={secret}"
    )
    built = image_project.build("--push", "text/load", env={"MINIO_SECRET_KEY": secret})
    component = built["text/load"]
    labels = image_project.registry.labels(f"{image_project.prefix}/text/load", "latest")
    assert labels["ml.daintree.component"] == labels["org.opencontainers.image.title"]
    assert labels["ml.daintree.component"] == "text/load"
    assert labels["ml.daintree.version"] == component["version"]
    assert labels["org.opencontainers.image.version"] == component["image"].rpartition(":")[2]
    assert labels["org.opencontainers.image.revision"] == image_project.head()
    assert labels["org.opencontainers.image.source"] == "https://git.example/shop"
    assert labels["org.opencontainers.image.description"] == "the source's lines"
    spec = json.loads(labels["ml.daintree.component-spec"])
    assert spec["params"]["limit"]["type"] == "int"
    assert secret not in json.dumps(labels)


def test_what_is_not_committed_has_no_commit_in_its_labels(
    image_project: ImageProject, engine: APIClient
) -> None:
    image_project.edit("text/load")
    image = engine.inspect_image(image_project.build("text/load")["text/load"]["image"])
    assert "org.opencontainers.image.revision" not in image["Config"]["Labels"]


def test_one_that_fails_harms_no_other(image_project: ImageProject) -> None:
    project = image_project.project
    project.write("components/text/join/Dockerfile", "FROM scratch\nCOPY nothing /\n")
    project.write("components/text/count/component.yaml", "params: 3\n")
    project.commit()
    done = project.doit("build", "--push", "--json")
    actions = {c["name"]: c["action"] for c in json.loads(done.stdout)["components"]}
    assert done.code == 1
    assert actions == {
        "text/clean": "built",
        "text/count": "failed",
        "text/join": "failed",
        "text/load": "built",
    }
    assert "nothing" in done.stderr
    assert "| Step " in done.stderr
    assert "components/text/count/component.yaml" in done.stderr


def test_bad_requests(image_project: ImageProject) -> None:
    complaint = image_project.refused("text/laod")
    assert "there is no component 'text/laod'" in complaint
    assert "did you mean 'text/load'?" in complaint
    assert "--jobs 'many': expected int" in image_project.refused("--jobs", "many")
    assert "--jobs -1: expected a number from 1 on" in image_project.refused("--jobs=-1")
    nowhere = {"DAINTREE_REGISTRY": "127.0.0.1:1/ml"}
    complaint = image_project.refused(env=nowhere)
    assert "error: the registry 127.0.0.1:1 cannot be reached: Connection refused" in complaint
    image_project.project.write("components/Text/Load/Dockerfile", "FROM scratch\n")
    complaint = image_project.refused("Text/Load")
    assert "components/Text/Load: 'Text' can be no part of an image's name" in complaint


def test_a_build_with_nothing_to_do_imports_no_client(image_project: ImageProject) -> None:
    image_project.build("--push", "text/load")
    done = image_project.project.doit(
        "build", "text/load", env={"PYTHONPROFILEIMPORTTIME": "1", **NO_ENGINE}
    )
    assert done.code == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "daintree.images.build" in imported
    assert not imported & {
        "docker",
        "urllib3",
        "requests",
        "git",
        "boto3",
        "obstore",
        "tarfile",
        "yaml",
    }


def test_lines_and_a_table(image_project: ImageProject) -> None:
    done = image_project.project.doit("build", "text/load", "--push")
    assert done.code == 0
    steps = [line.split("  ", 2)[-1].strip() for line in done.stderr.splitlines()]
    assert any(step.startswith("Step ") for step in steps)
    assert "text/load  built" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 built, 1 pushed, 2 tags set"
    assert "\033[" not in done.stderr
