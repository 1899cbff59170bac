"""Trees that differ in one versioned file differ in their versions; trees that do not, do not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from daintree.components.entries import EXECUTABLE, REGULAR, Entry
from daintree.components.version import Sources

NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=6
).filter(
    lambda name: name not in (".", "..", "tests", "Dockerfile", ".dockerignore", "component.yaml")
)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
FILES = st.dictionaries(
    PATHS, st.tuples(st.sampled_from([REGULAR, EXECUTABLE]), st.binary(max_size=4)), min_size=1
)
SETTINGS = settings(deadline=None, derandomize=True)
Files = dict[str, tuple[str, bytes]]


class MemoryTree:
    """A tree of one component whose files are given."""

    def __init__(self, files: Files) -> None:
        self.root = Path("nowhere")
        self._contents: dict[str, bytes] = {}
        self._entries = []
        for path, (mode, content) in {**files, "Dockerfile": (REGULAR, b"FROM x\n")}.items():
            blob = hashlib.sha1(content).hexdigest()
            self._contents[blob] = content
            self._entries.append(Entry(f"components/a/{path}", mode, blob))

    def files(self, directory: str) -> list[Entry]:
        inside = f"{directory}/"
        entries = [e for e in self._entries if e.path == directory or e.path.startswith(inside)]
        return sorted(entries, key=lambda entry: entry.path)

    def content(self, entry: Entry) -> bytes:
        return self._contents[entry.blob]

    def conversions(self, paths: Iterable[str]) -> Mapping[str, str]:
        return {}


def digest(files: Files) -> str:
    return Sources(MemoryTree(files), platform="linux/amd64", bases={}).version("a").digest


@SETTINGS
@given(FILES, st.data())
def test_a_byte(files: Files, choices: st.DataObject) -> None:
    path = choices.draw(st.sampled_from(sorted(files)))
    mode, content = files[path]
    other = choices.draw(st.binary(max_size=4).filter(lambda drawn: drawn != content))
    assert digest({**files, path: (mode, other)}) != digest(files)


@SETTINGS
@given(FILES, st.data())
def test_a_mode(files: Files, choices: st.DataObject) -> None:
    path = choices.draw(st.sampled_from(sorted(files)))
    mode, content = files[path]
    other = REGULAR if mode == EXECUTABLE else EXECUTABLE
    assert digest({**files, path: (other, content)}) != digest(files)


@SETTINGS
@given(FILES, st.data())
def test_a_path(files: Files, choices: st.DataObject) -> None:
    path = choices.draw(st.sampled_from(sorted(files)))
    other = choices.draw(PATHS.filter(lambda drawn: drawn not in files))
    others = {name: file for name, file in files.items() if name != path}
    assert digest({**others, other: files[path]}) != digest(files)
    assert digest(others) != digest(files)


@SETTINGS
@given(FILES, st.randoms(use_true_random=False))
def test_the_order_in_which_files_are_found_does_not_count(files: Files, random: object) -> None:
    shuffled = list(files.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert digest(dict(shuffled)) == digest(files)


@SETTINGS
@given(FILES, PATHS)
def test_tests_do_not_count(files: Files, path: str) -> None:
    assert digest({**files, f"tests/{path}": (REGULAR, b"x")}) == digest(files)
