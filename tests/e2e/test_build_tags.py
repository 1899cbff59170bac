"""`doit build --push` with a real registry: where `latest` goes, and a version's tag, which never moves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.services.image_project import NO_ENGINE

if TYPE_CHECKING:
    from tests.services.image_project import ImageProject


def test_latest_moves_only_forward(image_project: ImageProject) -> None:
    first = image_project.head()
    old = image_project.build("--push")["text/clean"]["digest"]
    image_project.edit("text/clean")
    image_project.project.commit()
    new = image_project.build("--push")["text/clean"]["digest"]
    assert image_project.digest("text/clean", "latest") == new != old
    assert image_project.digest("text/clean", first) == old

    image_project.project.git("checkout", "--quiet", first)
    done = image_project.project.doit("build", "--push")
    assert done.code == 0
    assert ":latest stays where it is: it is at the later commit" in done.stderr
    assert image_project.digest("text/clean", "latest") == new

    image_project.project.git("checkout", "--quiet", "main")
    image_project.project.git("revert", "--no-edit", "HEAD")
    image_project.build("--push", env=NO_ENGINE)
    assert image_project.digest("text/clean", "latest") == old
    assert image_project.digest("text/clean", image_project.head()) == old
    # The commit before the revert is older now, though its own image is the newer one.
    image_project.project.git("checkout", "--quiet", "HEAD^")
    image_project.build("--push", env=NO_ENGINE)
    assert image_project.digest("text/clean", "latest") == old


def test_latest_is_the_main_branches(image_project: ImageProject) -> None:
    old = image_project.build("--push")["text/clean"]["digest"]
    image_project.project.git("checkout", "--quiet", "-b", "feature")
    image_project.edit("text/clean")
    image_project.project.commit()
    done = image_project.project.doit("build", "--push")
    assert ":latest stays where it is: this commit is not on the main branch" in done.stderr
    assert image_project.digest("text/clean", "latest") == old
    assert image_project.digest("text/clean", image_project.head()) not in ("", old)


def test_a_clone_that_is_behind_leaves_latest_alone_and_a_force_push_does_not_stop_it(
    image_project: ImageProject, tmp_path: Path
) -> None:
    project = image_project.project
    image_project.build("--push")
    project.git("clone", "--quiet", ".", tmp_path / "behind")
    behind = project.at(tmp_path / "behind")
    behind.write("components/text/clean/more.py", "")
    behind.git("add", "--all")
    old_date = {"GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z"}
    project.at(behind.root, **old_date).git("commit", "--quiet", "-m", "earlier")
    image_project.edit("text/clean")
    project.commit()
    new = image_project.build("--push")["text/clean"]["digest"]

    done = behind.doit("build", "--push")
    assert done.code == 0, done.stderr
    assert "which this clone does not have (git fetch)" in done.stderr
    assert image_project.digest("text/clean", "latest") == new

    behind.write("components/text/clean/more.py", "# later\n")
    behind.git("add", "--all")
    later = {"GIT_COMMITTER_DATE": "2090-01-01T00:00:00Z"}
    project.at(behind.root, **later).git("commit", "--quiet", "-m", "later")
    images = behind.doit("build", "--push", "--json").json()["components"]
    digests = {c["name"]: c["digest"] for c in images}
    assert image_project.digest("text/clean", "latest") == digests["text/clean"] != new


def test_all_builds_anew_and_never_overwrites_a_versions_tag(image_project: ImageProject) -> None:
    old = image_project.build("--push", "text/load")["text/load"]["digest"]
    image = image_project.build("--push", "--all", "text/load")["text/load"]
    assert (image["action"], image["pushed"], image["digest"]) == ("built", False, old)
    assert image["reasons"] == [
        "--all builds it anew",
        "the registry has this version, whose tag is never overwritten",
    ]


def test_another_image_under_a_versions_tag_is_not_believed(image_project: ImageProject) -> None:
    image_project.build("--push", "text/load", "text/join")
    load, join = (image_project.build(name)[name] for name in ("text/load", "text/join"))
    path = f"/v2/{image_project.prefix}/text/load"
    tag = load["image"].rpartition(":")[2]
    image_project.edit("text/load")
    image_project.project.commit()
    other = image_project.build("--push", "text/load")["text/load"]
    _, _, manifest = image_project.registry.ask("GET", f"{path}/manifests/{other['digest']}")
    image_project.registry.ask("PUT", f"{path}/manifests/{tag}", manifest)
    image_project.project.git("revert", "--no-edit", "HEAD")
    complaint = image_project.refused("--push", "text/load", "text/join", env=NO_ENGINE)
    assert f"{load['image']} is not the image of text/load {load['version']}" in complaint
    assert f"its label says {other['version']}" in complaint
    assert image_project.build("text/join", env=NO_ENGINE)["text/join"]["digest"] == join["digest"]
