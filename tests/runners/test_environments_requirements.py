from __future__ import annotations

from daintree.runners.environments import parse_requirements

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
    content = "alpha==1\n-r more.txt\n--constraint c.txt\n--only-binary :all:\n"
    assert parse_requirements(content).includes == ("-r more.txt", "--constraint c.txt")


def test_line_ends_make_no_difference() -> None:
    assert parse_requirements(LOCK.replace("\n", "\r\n")) == parse_requirements(LOCK)
