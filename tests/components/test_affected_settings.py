"""Components that a setting of the project affects: the platform, and the pins of base images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.library_project import affected_since, by_definition

if TYPE_CHECKING:
    from tests.conftest import Monorepo

PIN = "sha256:" + "1" * 64


def pyproject(*, bases: str = "", platform: str = "") -> str:
    text = f'[tool.daintree]\nplatform = "{platform}"\n' if platform else ""
    return f"{text}[tool.daintree.bases]\n{bases}\n"


def test_the_pin_of_a_base_image(library_project: Monorepo) -> None:
    library_project.write("components/train/Dockerfile", "FROM debian\n")
    library_project.write("pyproject.toml", pyproject(bases=f'debian = "{PIN}"'))
    library_project.commit()
    other = PIN.replace("1", "2")
    library_project.write("pyproject.toml", pyproject(bases=f'debian = "{other}"'))

    result = affected_since(library_project, bases={"debian": other})
    assert [(item.name, item.reasons) for item in result.components] == [
        ("train", ("the pin of the base image debian changed",))
    ]
    assert {item.name: item.version for item in result.components} == by_definition(
        library_project, "HEAD", bases={"debian": other}, bases_before={"debian": PIN}
    )
    # The environment's word, here the same pin in both states, is not what changed.
    assert affected_since(library_project, bases={"debian": "sha256:" + "3" * 64}).components == ()


def test_the_platform(library_project: Monorepo) -> None:
    library_project.write("pyproject.toml", pyproject(platform="linux/arm64"))
    result = affected_since(library_project, platform="linux/arm64")
    assert [(item.name, item.reasons) for item in result.components] == [
        ("common/clean", ("platform linux/amd64 → linux/arm64",)),
        ("train", ("platform linux/amd64 → linux/arm64",)),
    ]
    assert affected_since(library_project, platform="linux/s390x").components == ()


@pytest.mark.parametrize(
    "before", ["", "[tool.daintree", "[tool.daintree]\nplatform = 1\n", "tool = 1\n"]
)
def test_a_project_file_that_says_nothing_of_use_before(
    library_project: Monorepo, before: str
) -> None:
    library_project.write("pyproject.toml", before)
    library_project.commit()
    library_project.write("pyproject.toml", pyproject(bases='x = "' + PIN + '"'))
    assert affected_since(library_project, bases={"x": PIN}).components == ()
