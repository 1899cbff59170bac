"""Files that git converts: the ids that it has for them are not those of the bytes on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.errors import GitError
from tests.components.git_files import DIRECTORY, FILE, NAMES, files, on_disk

if TYPE_CHECKING:
    from tests.conftest import Monorepo


@pytest.mark.parametrize(
    "attributes",
    [
        "* text=auto",
        "*.txt text",
        "*.txt eol=lf",
        "f.txt crlf",
        "*.txt working-tree-encoding=UTF-16",
    ],
)
@pytest.mark.parametrize(
    "place", [".gitattributes", "components/.gitattributes", f"{DIRECTORY}/.gitattributes", None]
)
def test_attributes_that_convert(committed: Monorepo, attributes: str, place: str | None) -> None:
    """Git calls these files unmodified, and its ids are not those of their bytes."""
    committed.write(place or ".git/info/attributes", f"{attributes}\n")
    encoding = "utf-16" if "UTF-16" in attributes else "utf-8"
    committed.write(FILE, "one\r\ntwo\r\n".encode(encoding))
    committed.commit()
    indexed = committed.git("ls-files", "--stage", FILE).split()[1]
    entry = files(committed, FILE)
    assert entry == on_disk(committed, FILE)
    assert entry[0].blob != indexed


@pytest.mark.parametrize("value", ["true", "input"])
def test_autocrlf(committed: Monorepo, value: str) -> None:
    committed.git("config", "core.autocrlf", value)
    committed.write(FILE, "one\r\nmore\r\n")
    committed.git("add", "--all")
    assert files(committed) == on_disk(committed, *NAMES)
    assert files(committed)[0].blob != committed.git("ls-files", "--stage", FILE).split()[1]


def test_ident(committed: Monorepo) -> None:
    committed.write(".gitattributes", "*.txt ident\n")
    committed.write(FILE, "$Id$\n")
    committed.commit()
    (committed.root / FILE).unlink()
    committed.git("checkout", "--", FILE)
    assert b"$Id: " in (committed.root / FILE).read_bytes()
    assert files(committed) == on_disk(committed, *NAMES)


def test_filter(committed: Monorepo) -> None:
    committed.git("config", "filter.upper.clean", "tr a-z A-Z")
    committed.git("config", "filter.upper.smudge", "tr A-Z a-z")
    committed.write(".gitattributes", "*.txt filter=upper\n")
    committed.commit()
    assert committed.git("show", f"HEAD:{FILE}") == "ONE\nTWO"
    assert files(committed) == on_disk(committed, *NAMES)


@pytest.mark.parametrize("place", ["home", "setting"])
def test_attributes_of_the_user(committed: Monorepo, tmp_path: Path, place: str) -> None:
    file = tmp_path / ("home/.config/git/attributes" if place == "home" else "attributes")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("*.txt text\n")
    if place == "setting":
        committed.git("config", "core.attributesFile", file)
    committed.write(FILE, "one\r\nmore\r\n")
    committed.commit()
    assert files(committed) == on_disk(committed, *NAMES)


def test_attributes_that_convert_nothing(committed: Monorepo) -> None:
    committed.write(".gitattributes", "*.txt -text diff=python\n")
    committed.write(FILE, "one\r\n")
    committed.commit()
    assert files(committed) == on_disk(committed, *NAMES)


def test_sparse_checkout_of_a_file_that_a_checkout_converts(committed: Monorepo) -> None:
    committed.write(".gitattributes", "*.txt eol=crlf\n")
    committed.commit()
    committed.git("sparse-checkout", "set", "elsewhere")
    with pytest.raises(
        GitError, match=r"f\.txt is not checked out, and git would convert it"
    ) as caught:
        files(committed)
    assert caught.value.hint == f"git sparse-checkout add {DIRECTORY}"
