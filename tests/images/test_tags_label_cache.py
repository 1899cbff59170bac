"""Labels of images that were read before."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from daintree.images.tags import ImageLabelCache

DIGEST, VERSION = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def test_a_label_that_was_read_is_known_to_later_processes(tmp_path: Path) -> None:
    cache = ImageLabelCache(tmp_path / "images")
    assert cache.version(DIGEST) is None
    cache.add({DIGEST: VERSION})
    assert cache.version(DIGEST) == VERSION
    ImageLabelCache(tmp_path / "images").add({VERSION: ""})
    again = ImageLabelCache(tmp_path / "images")
    assert (again.version(DIGEST), again.version(VERSION)) == (VERSION, "")


@given(st.text())
def test_a_label_cannot_speak_for_another_image(tmp_path_factory: object, label: str) -> None:
    directory = tmp_path_factory.mktemp("images")  # type: ignore[attr-defined]
    ImageLabelCache(directory).add({DIGEST: f"{label}\n{VERSION} {VERSION}\n"})
    assert ImageLabelCache(directory).version(VERSION) is None
    assert ImageLabelCache(directory).version(DIGEST) == ""


def test_a_file_that_is_broken_or_cannot_be_written_costs_only_a_look(tmp_path: Path) -> None:
    (tmp_path / "versions").write_bytes(b"\xff\xfe \n\na b c\n" + f"{DIGEST} {VERSION}\n".encode())
    assert ImageLabelCache(tmp_path).version(DIGEST) == VERSION
    (tmp_path / "file").touch()
    cache = ImageLabelCache(tmp_path / "file")
    cache.add({DIGEST: VERSION})
    assert cache.version(DIGEST) == VERSION
