"""The images a Dockerfile starts from, as Docker would read it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daintree.components.dockerfile import base_images, system_installers, with_pins


def built_on(dockerfile: str, **build_args: str) -> list[str]:
    return list(base_images(dockerfile.encode(), build_args).built_on)


@pytest.mark.parametrize(
    ("dockerfile", "expected"),
    [
        ("FROM python:3.11-slim\n", ["python:3.11-slim"]),
        ("from\tpython\n", ["python"]),
        ("FROM --platform=linux/arm64 python AS base\nFROM base\n", ["python"]),
        ("FROM python AS Base\nFROM base AS other\nFROM OTHER\n", ["python"]),
        ("FROM b\nFROM a\nFROM b\n", ["a", "b"]),
        ("FROM scratch\n", []),
        ("# FROM old\nFROM new\n", ["new"]),
        ("FROM \\\n  python \\\n  AS x\n", ["python"]),
        ("FROM python \\\n# a comment\n\n  AS x\nFROM x\n", ["python"]),
        ("# escape=`\nFROM `\n  python\n", ["python"]),
        ("FROM python\nRUN echo \\\\\nFROM second\n", ["python", "second"]),
        ("FROM python\nRUN <<EOF\nfrom json import loads\nEOF\nFROM x\n", ["python", "x"]),
        ("FROM python\nRUN <<-'EOF' cat\n\tFROM y\n\tEOF\n", ["python"]),
        ("FROM python\nCOPY <<A <<B /\nFROM a\nA\nFROM b\nB\n", ["python"]),
        ("FROM python\r\nRUN true\r\n", ["python"]),
        ("FROM registry:5000/team/image@sha256:abc\n", ["registry:5000/team/image@sha256:abc"]),
        ("RUN true\n", []),
        ("FROM\n", []),
    ],
)
def test_references(dockerfile: str, expected: list[str]) -> None:
    assert built_on(dockerfile) == expected


@pytest.mark.parametrize(
    ("dockerfile", "expected"),
    [
        ("ARG TAG=3.11\nFROM python:$TAG\n", "python:3.11"),
        ("ARG TAG=3.11\nFROM python:${TAG}-slim\n", "python:3.11-slim"),
        ('ARG TAG="3.11"\nFROM python:$TAG\n', "python:3.11"),
        ("ARG A=3 B=$A.11\nFROM python:$B\n", "python:3.11"),
        ("ARG TAG\nFROM python:${TAG:-3.12}\n", "python:3.12"),
        ("ARG TAG=1\nFROM python:${TAG:+3.12}\n", "python:3.12"),
        ("FROM python:$TAG\n", "python:$TAG"),
        ("ARG TAG\nFROM python:$TAG\n", "python:$TAG"),
    ],
)
def test_arguments_are_filled_in(dockerfile: str, expected: str) -> None:
    assert built_on(dockerfile) == [expected]


def test_build_arguments_win_over_defaults_but_must_be_declared() -> None:
    assert built_on("ARG TAG=1\nFROM python:$TAG\n", TAG="2") == ["python:2"]
    assert built_on("FROM python:$TAG\n", TAG="2") == ["python:$TAG"]
    assert built_on("FROM a\nARG TAG=1\nFROM python:$TAG\n") == ["a", "python:$TAG"]


def test_images_that_files_are_copied_from() -> None:
    dockerfile = (
        "FROM python AS build\n"
        "COPY --from=build /a /a\n"
        "COPY --from=0 /a /a\n"
        "COPY --chown=1:1 --from=busybox:1 /bin/sh /sh\n"
        "COPY main.py /\n"
    )
    assert base_images(dockerfile.encode(), {}).copied_from == ("busybox:1",)


@pytest.mark.parametrize(
    ("dockerfile", "expected"),
    [
        ("FROM python\nRUN true\n", "FROM python@sha256:1\nRUN true\n"),
        ("FROM other\n", "FROM other\n"),
        ("# x\r\nFROM other\r\nRUN a \\\r\n b", "# x\r\nFROM other\r\nRUN a \\\r\n b"),
        (
            "from --platform=python python as python\nFROM python\n",
            "from --platform=python python@sha256:1 as python\nFROM python\n",
        ),
        (
            "ARG V=python\nFROM \\\n  # why\n  ${V} \\\n  AS x\nRUN <<A\nFROM python\nA\nFROM python\n",
            "ARG V=python\nFROM \\\n  # why\n  python@sha256:1 \\\n  AS x\nRUN <<A\nFROM python\nA\nFROM python@sha256:1\n",
        ),
        ("FROM a\nARG V=python\nFROM $V\n", "FROM a\nARG V=python\nFROM $V\n"),
        # Its name goes on in the next line.
        ("FROM pyt\\\nhon\nRUN true\n", "\nFROM python@sha256:1\nRUN true\n"),
        (
            "# escape=`\r\nFROM pyt`\r\nhon AS x\r\nRUN true\r\n",
            "# escape=`\r\n\nFROM python@sha256:1 AS x\r\nRUN true\r\n",
        ),
        (
            "FROM a\nRUN --mount=from=py\\\nth\\\non,target=/x <<A\ncat\nA\n",
            "FROM a\n\n\nRUN --mount=from=python@sha256:1,target=/x <<A\ncat\nA\n",
        ),
    ],
)
def test_pins_are_written_into_what_a_dockerfile_starts_from(
    dockerfile: str, expected: str
) -> None:
    assert with_pins(dockerfile.encode(), {}, {"python": "python@sha256:1"}).decode() == expected


@given(st.binary())
@example(b"\\")
@example(b"FROM a\n \\\n\n")
def test_without_a_pin_a_dockerfile_keeps_every_byte(content: bytes) -> None:
    assert with_pins(content, {}, {"python": "python"}) == content


@pytest.mark.parametrize(
    ("dockerfile", "installers"),
    [
        ("RUN apt-get update && apt-get install -y libgomp1\n", ("apt-get",)),
        ("RUN apt-get -y --no-install-recommends \\\n  install gcc\n", ("apt-get",)),
        ("RUN apk add --no-cache gcc\nRUN dnf -y install gcc\n", ("apk", "dnf")),
        ("RUN <<EOF\nset -e\napt install git\nEOF\n", ("apt",)),
        ('RUN ["apt-get", "update"]\n', ()),
        ("RUN pip install apt\n# RUN apt-get install x\n", ()),
        ("ENV X='apt-get install'\n", ()),
    ],
)
def test_what_installs_packages_of_the_system(dockerfile: str, installers: tuple[str, ...]) -> None:
    assert system_installers(f"FROM x\n{dockerfile}".encode()) == installers
