"""Patterns of paths as a source: files by their paths below the directory that the pattern starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

from daintree.store.store import Store
from tests.pipeline.sources.test_local import complaint, digest_of, opened


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("data/a.csv", "data/b.csv", "data/c.txt", "data/x/d.csv", "data/x/y/e.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("data/*.csv", ["a.csv", "b.csv"]),
        ("data/[ac].*", ["a.csv", "c.txt"]),
        ("data/?.txt", ["c.txt"]),
        ("data/**/*.csv", ["a.csv", "b.csv", "x/d.csv", "x/y/e.csv"]),
        ("data/*/*.csv", ["x/d.csv"]),
        ("data/x*", ["x/d.csv", "x/y/e.csv"]),
        ("*/a.csv", ["data/a.csv"]),
    ],
)
def test_a_pattern_is_known_by_the_files_it_matches(
    pattern: str, names: list[str], project: Path, store: Store
) -> None:
    source = opened(pattern, project, store)
    expected = digest_of({name: name.rpartition("/")[2].encode() for name in names})
    assert source.identify().digest == expected
    assert source.identify().origin == pattern
    (project / "input").mkdir()
    parts = source.files(project / "input")
    assert sorted(
        str(path.relative_to(project / "input"))
        for path in (project / "input").rglob("*")
        if path.is_file()
    ) == sorted(names)
    for name in names:
        assert any(
            (place / name.removeprefix(part).lstrip("/") if part != name else place).is_file()
            for part, place in parts.items()
            if name.startswith(part)
        )


def test_a_file_that_comes_to_match_is_a_change(project: Path, store: Store) -> None:
    source = opened("data/*.csv", project, store)
    source.identify()
    (project / "data/c.txt").write_text("other")
    assert source.unchanged()
    (project / "data/new.csv").write_text("")
    assert not source.unchanged()


def test_a_pattern_that_matches_nothing_is_an_error(project: Path, store: Store) -> None:
    error = complaint(opened("data/*.parquet", project, store))
    assert error.message == "the source data/*.parquet matches no file"


def test_a_file_of_such_a_name_is_no_pattern(project: Path, store: Store) -> None:
    (project / "data/[ac].csv").write_text("itself")
    source = opened("data/[ac].csv", project, store)
    assert source.identify().digest == digest_of({"[ac].csv": b"itself"})


def test_many_scattered_parts_are_copied(project: Path, store: Store) -> None:
    (project / "many").mkdir()
    for number in range(150):
        (project / f"many/{number}.csv").write_text(str(number))
    (project / "input").mkdir()
    parts = opened("many/*.csv", project, store).files(project / "input")
    assert parts == {"": project / "input"}
    assert (project / "input/149.csv").read_text() == "149"
    assert not (project / "input/149.csv").is_symlink()


@pytest.mark.parametrize(
    ("location", "output", "held"),
    [
        ("data", "data", True),
        ("data", "data/out", True),
        ("data", "data/x/y/out", True),
        ("data", "out", False),
        ("data", "data-out", False),
        (".", "out", True),
        ("data/a.csv", "data/out", False),
        ("data/a.csv", "data/a.csv", True),
        ("data/*.csv", "data/out", False),
        ("data/*.csv", "data/out.csv", True),
        ("data/*", "data/out", True),
        ("data/*/*.csv", "data/out", True),
        ("data/**/*.csv", "data/x/out", True),
        ("data/x/*.csv", "data/out", False),
    ],
)
def test_a_source_holds_an_output_that_would_be_part_of_it(
    location: str, output: str, held: bool, project: Path, store: Store
) -> None:
    assert opened(location, project, store).holds(project / output) is held
