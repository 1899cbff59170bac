"""Build contexts: the same bytes wherever they are made."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daintree.images.builders import build_context


def snapshot(directory: Path) -> list[str]:
    """A few files, one of them in the directory only."""
    (directory / "package").mkdir(parents=True)
    (directory / "Dockerfile").write_text("FROM python\n")
    (directory / "main.py").write_text("print()\n")
    (directory / "run").write_text("#!/bin/sh\n")
    (directory / "run").chmod(0o555)
    (directory / "package" / "größe.txt").write_text("1\n")
    (directory / "link").symlink_to("main.py")
    (directory / "left out").write_text("")
    return ["Dockerfile", "main.py", "run", "package/größe.txt", "link"]


def test_exactly_the_files_with_one_owner_time_and_order(tmp_path: Path) -> None:
    files = snapshot(tmp_path / "one")
    context = build_context(tmp_path / "one", files, b"FROM python@sha256:1\n")
    with tarfile.open(fileobj=io.BytesIO(context)) as archive:
        members = {member.name: member for member in archive.getmembers()}
        dockerfile = archive.extractfile("Dockerfile")
        assert dockerfile is not None
        assert dockerfile.read() == b"FROM python@sha256:1\n"
    assert list(members) == ["Dockerfile", "package", *sorted({*files} - {"Dockerfile"})]
    assert {(m.uid, m.gid, m.uname, m.mtime) for m in members.values()} == {(0, 0, "", 315532800)}
    assert {name: oct(member.mode) for name, member in members.items()} == {
        "package": "0o755",
        "Dockerfile": "0o644",
        "main.py": "0o644",
        "run": "0o755",
        "link": "0o777",
        "package/größe.txt": "0o644",
    }
    assert members["link"].linkname == "main.py"

    snapshot(tmp_path / "two")
    os.utime(tmp_path / "two" / "main.py", (1, 1))
    (tmp_path / "two" / "main.py").chmod(0o600)
    again = build_context(tmp_path / "two", files[::-1], b"FROM python@sha256:1\n")
    assert again == context


@given(st.dictionaries(st.from_regex(r"\A[a-z\u00e4 %]{1,120}\Z"), st.binary(max_size=100)))
def test_every_name_and_byte_comes_through(
    tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes]
) -> None:
    directory = tmp_path_factory.mktemp("snapshot")
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    context = build_context(directory, list(contents), b"")
    with tarfile.open(fileobj=io.BytesIO(context)) as archive:
        packed = {m.name: archive.extractfile(m).read() for m in archive.getmembers()}  # type: ignore[union-attr]
    assert packed == contents


@pytest.mark.parametrize("name", ["Größe/content", f"{'long' * 30}/content"])
def test_a_context_begins_with_its_dockerfile_whatever_other_names_are(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).touch()
    context = build_context(tmp_path, [name, "Dockerfile"], b"FROM scratch\n")
    # Docker's command tells a tar from a Dockerfile by its first block alone.
    first = tarfile.TarInfo.frombuf(context[: tarfile.BLOCKSIZE], "utf-8", "strict")
    assert (first.name, first.type) == ("Dockerfile", tarfile.REGTYPE)
