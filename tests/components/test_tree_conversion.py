"""Files that git converts: their blobs count, and what a checkout would do to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from daintree.components.tree import WorkingTree
from daintree.errors import GitError
from tests.components.git_files import FILE, blob_of

if TYPE_CHECKING:
    from tests.conftest import Monorepo


def conversion(monorepo: Monorepo) -> str:
    tree = WorkingTree(monorepo.root)
    tree.files(FILE)
    return tree.conversions([FILE]).get(FILE, "")


@pytest.mark.parametrize(
    "place", [".gitattributes", "components/.gitattributes", "components/a/.gitattributes"]
)
def test_the_blob_is_what_git_would_commit(committed: Monorepo, place: str) -> None:
    committed.write(place, "*.txt text\n")
    committed.write(FILE, "one\r\n")
    [entry] = WorkingTree(committed.root).files(FILE)
    assert entry.blob == blob_of(b"one\n")


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("* text=auto", ""),
        ("*.txt eol=lf", ""),
        ("*.txt eol=crlf", "eol=crlf"),
        ("*.txt eol=crlf -text", ""),
        ("*.txt ident", "ident"),
        ("*.txt working-tree-encoding=UTF-16", "working-tree-encoding=UTF-16"),
        ("*.txt filter=lfs eol=crlf", "eol=crlf filter=lfs"),
        ("*.txt filter=upper", ""),
        ("*.py eol=crlf", ""),
    ],
)
def test_what_a_checkout_does(committed: Monorepo, attributes: str, expected: str) -> None:
    committed.write(".gitattributes", f"{attributes}\n")
    committed.write(FILE, "one\n".encode("utf-16" if "UTF-16" in attributes else "utf-8"))
    assert conversion(committed) == expected


def test_attributes_of_one_user_are_no_part_of_it(committed: Monorepo) -> None:
    committed.write("../home/.config/git/attributes", "*.txt eol=crlf\n")
    assert conversion(committed) == ""


@pytest.mark.parametrize("required", ["true", "false"])
def test_a_filter_that_fails(committed: Monorepo, required: str) -> None:
    """git itself is silent about one that is not required, and takes the bytes on disk."""
    committed.git("config", "filter.broken.clean", "false")
    committed.git("config", "filter.broken.required", required)
    committed.write(".gitattributes", "*.txt filter=broken\n")
    committed.write(FILE, "other\n")
    with pytest.raises(
        GitError, match=r"a filter that \.gitattributes names does not work: .*false"
    ):
        WorkingTree(committed.root).files(FILE)
