from __future__ import annotations

import pytest

from daintree.runners.environments import parse_requirements, refused_requirement

LOCK = """\
# made by: doit lock shop/rank
# installed size: 26 MB
Py_YAML==6.0.3 ; python_version < '3.12' \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via -r requirements.in
py-yaml==6.0.4 ; python_version >= '3.12' --hash=sha256:cc
alpha @ https://host/alpha.whl#sha256=dd # pinned by hand
"""


def test_logical_lines_without_comments() -> None:
    assert parse_requirements(LOCK).lines == (
        "Py_YAML==6.0.3 ; python_version < '3.12' --hash=sha256:aa --hash=sha256:bb",
        "py-yaml==6.0.4 ; python_version >= '3.12' --hash=sha256:cc",
        "alpha @ https://host/alpha.whl#sha256=dd",
    )


def test_notes_of_the_lock() -> None:
    requirements = parse_requirements(LOCK)
    assert (requirements.owner, requirements.size) == ("shop/rank", "26 MB")
    assert parse_requirements("alpha==1\n").owner == ""


def test_packages_are_counted_once_each() -> None:
    assert parse_requirements(LOCK).packages == {"py-yaml", "alpha"}


def test_an_empty_file_has_nothing() -> None:
    assert parse_requirements("\n# only\n  # comments\n").lines == ()


def test_other_files_are_named() -> None:
    content = "alpha==1\n-r more.txt\n--constraint=c.txt\n--only-binary :all:\n"
    assert parse_requirements(content).included == ("more.txt", "c.txt")


@pytest.mark.parametrize(
    ("line", "reason", "instead"),
    [
        ("--index-url https://a.example/simple", "names an address", "UV_INDEX_URL"),
        ("-i https://a.example/simple", "names an address", "UV_INDEX_URL"),
        ("--extra-index-url=https://a.example", "names an address", "UV_EXTRA_INDEX_URL"),
        ("--find-links wheels/", "names an address", "UV_FIND_LINKS"),
        ("-f wheels/", "names an address", "UV_FIND_LINKS"),
        ("-e .", "is a directory", "make it a library"),
        ("--editable=../x", "is a directory", "make it a library"),
        ("./vendored", "is a directory", "make it a library"),
        ("../x[more]", "is a directory", "make it a library"),
        (".[more]", "is a directory", "make it a library"),
        ("..[more]", "is a directory", "make it a library"),
        ("/opt/x", "is a directory", "make it a library"),
        ("x @ file:///opt/x.whl", "is a directory", "make it a library"),
        ("x @ FILE:x", "is a directory", "make it a library"),
        ("vendored/x", "is a directory", "make it a library"),
        ("x @ vendored/x", "is a directory", "make it a library"),
        ("wheels/x-1-py3-none-any.whl", "is a directory", "make it a library"),
        ("x-1.tar.gz", "is a directory", "make it a library"),
        ("x @ ${HERE}/x ; python_version > '3'", "is a directory", "make it a library"),
        ("C:\\x", "is a directory", "make it a library"),
        ("-e.", "is a directory", "make it a library"),
        ("-fwheels/", "names an address", "UV_FIND_LINKS"),
        ("-ihttps://a.example", "names an address", "UV_INDEX_URL"),
        ("x @ https://ana:secret@a.example/x.whl", "an address with a user", "netrc"),
        ("https://$HOST/x.whl", "an address with a user or a variable", "alone"),
        ("-e git+https://git.example/x", "is a repository", "build a wheel"),
        ("x @ GIT+https://git.example/x", "is a repository", "build a wheel"),
        ("git+https://git.example/x", "is a repository", "build a wheel"),
        ("x @ git+ssh://git@git.example/x@main", "is a repository", "build a wheel"),
        ("--pre", "is an option", "take the line out"),
        ("--no-binary=:all:", "is an option", "take the line out"),
    ],
)
def test_a_line_that_no_lock_can_keep_is_refused_with_what_to_write(
    line: str, reason: str, instead: str
) -> None:
    refused = refused_requirement(line)
    assert refused is not None
    assert reason in refused[0]
    assert instead in refused[1]


@pytest.mark.parametrize(
    "line",
    ["alpha", "alpha>=1,<2 ; python_version > '3'", "alpha[more]==1", "-r more.in", "-c=c.txt", "-rmore/more.in",
     "alpha>=1;sys_platform == 'a/b'", "HTTPS://files.example/x-1.tar.gz",
     "x @ https://files.example/x-1-py3-none-any.whl", "alpha==1 --hash=sha256:0"],
)  # fmt: skip
def test_names_versions_hashes_and_other_files_are_taken(line: str) -> None:
    assert refused_requirement(line) is None


def test_line_ends_make_no_difference() -> None:
    assert parse_requirements(LOCK.replace("\n", "\r\n")) == parse_requirements(LOCK)
