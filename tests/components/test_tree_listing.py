"""Finding the files of a directory among sorted paths."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daintree.components.tree import at_or_below, is_covered

NAMES = st.sampled_from(["a", "ab", "a-b", "a.b", "a0", "b", "A"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@given(st.sets(PATHS, max_size=12), PATHS)
def test_the_files_at_or_below_a_directory(paths: set[str], directory: str) -> None:
    ordered = sorted(path.encode() for path in paths)
    expected = [
        path
        for path in ordered
        if path.decode() == directory or path.decode().startswith(f"{directory}/")
    ]
    assert sorted(at_or_below(ordered, directory.encode(), lambda path: path)) == expected


@given(st.sets(PATHS, max_size=5), PATHS)
def test_a_path_is_covered_by_itself_and_what_holds_it(directories: set[str], path: str) -> None:
    expected = any(path == one or path.startswith(f"{one}/") for one in directories)
    assert is_covered(directories, path) is expected
