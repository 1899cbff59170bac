"""Links in a source: each counts as what it leads to, within the source and the project; a copy has the same digest."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from daintree.store.store import Store
from tests.pipeline.sources.test_local import complaint, opened


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a source `data`, more data beside it, and a directory outside."""
    root = tmp_path / "project"
    for directory in (
        root / "data/2024",
        root / "archive/deep",
        root / "archive",
        tmp_path / "outside",
    ):
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "part.csv").write_text(f"{directory.name}\n")
    return root


Link = Callable[[Path], None]
LINKS: dict[str, Link] = {
    "file in the source": lambda root: (root / "data/l").symlink_to("2024/part.csv"),
    "directory in the source": lambda root: (root / "data/l").symlink_to("2024"),
    "file in the project": lambda root: (root / "data/l").symlink_to("../archive/part.csv"),
    "directory in the project": lambda root: (root / "data/l").symlink_to(root / "archive"),
    "link to a link": lambda root: (
        (root / "data/l").symlink_to("m"),
        (root / "data/m").symlink_to("2024/part.csv"),
    )[0],
    "nested": lambda root: (root / "data/2024/l").symlink_to("../../archive/deep"),
}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_a_link_and_a_copy_have_one_digest(link: Link, project: Path, store: Store) -> None:
    link(project)
    linked = opened("data", project, store).identify()
    shutil.copytree(project / "data", project / "copy")
    copied = opened("copy", project, store).identify()
    assert linked.digest == copied.digest


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_a_stage_gets_the_targets_bytes_wherever_they_are(
    link: Link, project: Path, store: Store, tmp_path: Path
) -> None:
    link(project)
    (tmp_path / "input").mkdir()
    parts = opened("data", project, store).files(tmp_path / "input")
    expected = _content(project / "data")
    assert _content(tmp_path / "input") == expected
    # A container sees the parts alone, under their names: no link of theirs may lead out of them.
    seen = tmp_path / "container"
    for name, place in parts.items():
        assert not place.is_symlink()
        target = seen / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if place.is_dir() else shutil.copy)(place, target)
    assert not [path for path in seen.rglob("*") if path.is_symlink()]
    assert _content(seen) == expected


def _content(directory: Path, name: str = "") -> dict[str, str]:
    if not (directory / name).is_dir():
        return {name: (directory / name).read_text()}
    contents: dict[str, str] = {}
    for path in (directory / name).iterdir():
        contents |= _content(directory, f"{name}/{path.name}".lstrip("/"))
    return contents


def test_a_changed_target_is_another_source(project: Path, store: Store) -> None:
    (project / "data/l").symlink_to("../archive/part.csv")
    source = opened("data", project, store)
    before = source.identify()
    (project / "archive/part.csv").write_text("changed\n")
    assert not source.unchanged()
    assert opened("data", project, store).identify().digest != before.digest


@pytest.mark.parametrize("target", ["part.csv", ""])
def test_a_link_that_leads_out_is_followed_only_where_the_pipeline_says_so(
    target: str, project: Path, store: Store, tmp_path: Path
) -> None:
    (project / "data/2024/l").symlink_to(tmp_path / "outside" / target)
    error = complaint(opened("data", project, store))
    outside = str(tmp_path / "outside" / target).rstrip("/")
    assert error.message == (
        f"the source data: '2024/l' is a link to {outside!r}, outside the source and the project"
    )
    assert error.hint.startswith("`{location: data, follow_links: true}` in its place")
    followed = opened("data", project, store, follow_links=True).identify()
    shutil.copytree(project / "data", project / "copy")
    assert opened("copy", project, store).identify().digest == followed.digest


def test_a_source_outside_the_project_may_link_within_itself(
    project: Path, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "outside/l").symlink_to("part.csv")
    assert opened(str(tmp_path / "outside"), project, store).identify().digest


BROKEN: dict[str, tuple[Link, str]] = {
    "broken": (
        lambda root: (root / "data/2024/l").symlink_to("gone"),
        "is a broken link to 'gone'",
    ),
    "itself": (
        lambda root: (root / "data/2024/l").symlink_to("l"),
        "is a link that leads to itself",
    ),
    "parent": (
        lambda root: (root / "data/2024/l").symlink_to(".."),
        "is a link to a directory that it lies in",
    ),
    "own directory": (
        lambda root: (root / "data/2024/l").symlink_to("."),
        "is a link to a directory that it lies in",
    ),
}


@pytest.mark.parametrize("location", ["data", "data/*", "data/*/l"])
@pytest.mark.parametrize(("link", "fault"), BROKEN.values(), ids=BROKEN)
def test_a_link_that_leads_nowhere_or_round_is_named(
    link: Link, fault: str, location: str, project: Path, store: Store
) -> None:
    link(project)
    assert (
        f"the source {location}: '2024/l' {fault}"
        in complaint(opened(location, project, store)).message
    )


def test_a_circle_on_the_way_to_a_match_is_named(project: Path, store: Store) -> None:
    (project / "data/2024/l").symlink_to("..")
    error = complaint(opened("data/**/*.csv", project, store))
    assert "'2024/l' is a link to a directory that it lies in" in error.message


def test_a_source_that_is_itself_a_broken_link_is_named(project: Path, store: Store) -> None:
    (project / "data/l").symlink_to("gone")
    error = complaint(opened("data/l", project, store))
    assert error.message == "the source data/l is a broken link to 'gone'"


def test_two_links_to_one_directory_are_no_circle(project: Path, store: Store) -> None:
    for name in "lm":
        (project / "data" / name).symlink_to("../archive")
    assert opened("data", project, store).identify().digest
