"""A component without a Dockerfile: the default counts as if it stood there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from daintree.components import WorkingTree, discover_components
from daintree.components.affected import affected
from daintree.components.snapshot import make_snapshot
from daintree.components.source import default_dockerfile
from daintree.errors import VersionError
from tests.components.versions import version

if TYPE_CHECKING:
    from tests.conftest import Monorepo

LINES = (
    "FROM python:3.11-slim\n"
    "COPY requirements.txt /application/\n"
    "RUN pip install --no-cache-dir --require-hashes -r /application/requirements.txt\n"
    "COPY . /application/\n"
    'ENTRYPOINT ["python", "/application/main.py"]\n'
)


def small(monorepo: Monorepo, **files: str) -> None:
    """Write the component shop/rank: a main.py, and these files by their stems."""
    suffixes = {"requirements": ".txt", "component": ".yaml"}
    monorepo.write("components/shop/rank/main.py", "print(1)\n")
    for stem, content in files.items():
        monorepo.write(f"components/shop/rank/{stem}{suffixes.get(stem, '')}", content)


def test_the_default_is_five_lines() -> None:
    assert default_dockerfile("", has_requirements=True).decode() == LINES
    assert default_dockerfile("3.12", has_requirements=False).decode() == (
        'FROM python:3.12-slim\nCOPY . /application/\nENTRYPOINT ["python", "/application/main.py"]\n'
    )


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"requirements": ""}, LINES),
        ({}, default_dockerfile("", has_requirements=False).decode()),
        (
            {"component": 'python: "3.12"\n', "requirements": "", ".dockerignore": "*.md\n"},
            LINES.replace("3.11", "3.12"),
        ),
    ],
)
def test_written_or_not_it_is_one_version(
    tmp_path: Path, monorepo: Monorepo, files: dict[str, str], text: str, object_format: str
) -> None:
    monorepo.root = tmp_path / "other"
    monorepo.init(f"--object-format={object_format}")
    small(monorepo, **files)
    without = version(monorepo, "shop/rank")
    snapshot = make_snapshot(without, tmp_path / "without")
    assert (snapshot / "Dockerfile").read_text() == text
    monorepo.write("components/shop/rank/Dockerfile", text)
    written = version(monorepo, "shop/rank")
    assert written.digest == without.digest
    assert written.bases == without.bases
    assert make_snapshot(written, tmp_path / "written").name == snapshot.name
    # Neither finds fault with the other's copy.
    inode = snapshot.stat().st_ino
    assert make_snapshot(written, tmp_path / "without").stat().st_ino == inode


def test_attributes_hold_for_it_as_for_one_that_is_written(
    tmp_path: Path, monorepo: Monorepo
) -> None:
    small(monorepo, requirements="")
    monorepo.write(".gitattributes", "* text eol=crlf\n")
    without = version(monorepo, "shop/rank")
    crlf = make_snapshot(without, tmp_path / "snapshots") / "Dockerfile"
    assert crlf.read_bytes() == LINES.replace("\n", "\r\n").encode()
    monorepo.write("components/shop/rank/Dockerfile", LINES)
    assert version(monorepo, "shop/rank").digest == without.digest


def test_affected_tells_it_as_any_other_file(monorepo: Monorepo) -> None:
    small(monorepo, requirements="")
    monorepo.write("components/lib/text/__init__.py", "")
    monorepo.write("components/lib/text/cli/main.py", "")
    monorepo.write("components/lib/text/tests/main.py", "")
    base = monorepo.commit()

    def affected_components() -> dict[str, tuple[str, ...]]:
        result = affected(WorkingTree(monorepo.root), base, platform="linux/amd64", bases={})
        return {item.name: item.reasons for item in result.components}

    assert affected_components() == {}
    path = monorepo.write("components/shop/rank/Dockerfile", LINES)
    assert affected_components() == {}
    path.write_text(f"{LINES}USER 1000\n")
    assert affected_components() == {"shop/rank": ("Dockerfile changed",)}
    path.unlink()
    monorepo.write("components/shop/new/main.py", "print(2)\n")
    assert affected_components() == {"shop/new": ("new component",)}
    (monorepo.root / "components/shop/rank/main.py").unlink()
    assert affected_components()["shop/rank"] == ("deleted",)


def test_a_program_inside_a_package_or_among_tests_is_no_component(monorepo: Monorepo) -> None:
    small(monorepo)
    monorepo.write("components/lib/text/__init__.py", "")
    monorepo.write("components/lib/text/cli/main.py", "")
    monorepo.write("components/lib/plain/words.txt", "")
    monorepo.write("components/lib/plain/tests/main.py", "")
    assert discover_components(monorepo.root) == ["shop/rank"]


def test_a_dockerfile_that_git_ignores_is_not_replaced(monorepo: Monorepo) -> None:
    small(monorepo)
    monorepo.write(".gitignore", "Dockerfile\n")
    version(monorepo, "shop/rank")
    monorepo.write("components/shop/rank/Dockerfile", "FROM other\n")
    with pytest.raises(VersionError, match=r"Dockerfile is ignored by git: \.gitignore:1"):
        version(monorepo, "shop/rank")


@pytest.mark.parametrize(
    ("base", "warned"),
    [
        ("python:3.11-slim", True),
        ("docker.example/python:3.11.4", True),
        ("python:3.12-slim-bookworm", False),
        ("python:3", False),
        ("debian:12", False),
        ("python:latest", False),
    ],
)
def test_a_base_image_of_another_python_is_a_warning(
    monorepo: Monorepo, base: str, warned: bool
) -> None:
    small(monorepo, component='python: "3.12"\n', Dockerfile=f"FROM {base}\n")
    text = f"the base image {base} has another Python than the 3.12 of component.yaml"
    warnings = version(monorepo, "shop/rank").warnings
    assert (f"components/shop/rank/Dockerfile: {text}" in warnings) == warned
