"""What is remembered of images that were looked at."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from daintree.images.tags import Seen

DIGEST, VERSION = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def test_what_was_seen_is_known_to_later_processes(tmp_path: Path) -> None:
    seen = Seen(tmp_path / "images")
    assert seen.version(DIGEST) is None
    seen.remember({DIGEST: VERSION})
    assert seen.version(DIGEST) == VERSION
    Seen(tmp_path / "images").remember({VERSION: ""})
    again = Seen(tmp_path / "images")
    assert (again.version(DIGEST), again.version(VERSION)) == (VERSION, "")


@given(st.text())
def test_a_label_cannot_speak_for_another_image(tmp_path_factory: object, label: str) -> None:
    directory = tmp_path_factory.mktemp("images")  # type: ignore[attr-defined]
    Seen(directory).remember({DIGEST: f"{label}\n{VERSION} {VERSION}\n"})
    assert Seen(directory).version(VERSION) is None
    assert Seen(directory).version(DIGEST) == ""


def test_a_file_that_is_broken_or_cannot_be_written_costs_only_a_look(tmp_path: Path) -> None:
    (tmp_path / "versions").write_bytes(b"\xff\xfe \n\na b c\n" + f"{DIGEST} {VERSION}\n".encode())
    assert Seen(tmp_path).version(DIGEST) == VERSION
    (tmp_path / "file").touch()
    seen = Seen(tmp_path / "file")
    seen.remember({DIGEST: VERSION})
    assert seen.version(DIGEST) == VERSION
