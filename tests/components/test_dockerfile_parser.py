"""Instructions as Docker's own parser finds them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daintree.components.dockerfile import base_images, read_instructions, with_pins, with_platform

dockerfile = pytest.importorskip(
    "dockerfile", reason="the wheel of Docker's parser is not installed"
)

WRITTEN = {
    "a shift": "FROM a\nRUN echo $((1<<20))\nFROM b\n",
    "a shift of a name": "FROM a\nRUN echo $((x << y))\nFROM b\n",
    "a here-string": "FROM a\nRUN cat <<<word\nFROM b\n",
    "a quoted mark": "FROM a\nRUN sed -e '/<<EOF/d' x\nFROM b\n",
    "a mark in a comment": "FROM a\n# see '<<EOF'\nRUN true\nFROM b\n",
    "a mark in double quotes": 'FROM a\nRUN echo "cat <<EOF" > x\nFROM b\n',
    "a mark without a space": "FROM a\nRUN cat<<EOF\nFROM b\n",
    "a here-document": "FROM a\nRUN cat <<EOF > x\nFROM not\nEOF\nFROM b\n",
    "tabs": "FROM a\nRUN cat <<-EOF\n\tFROM not\n\tEOF\nFROM b\n",
    "spaces for tabs": "FROM a\nRUN cat <<EOF\nFROM not\n EOF\nEOF\nFROM b\n",
    "a quoted end": "FROM a\nRUN <<'E O F'\nFROM not\nE O F\nFROM b\n",
    "a descriptor": "FROM a\nRUN cat 3<<EOF\nFROM not\nEOF\nFROM b\n",
    "two": 'FROM a\nCOPY <<A <<"B" /x/\nFROM not\nA\nFROM not\nB\nFROM b\n',
    "in a pipe": "FROM a\nRUN cat <<EOF | sh && echo <<X\nFROM not\nEOF\nX\nFROM b\n",
    "onbuild": "FROM a\nONBUILD RUN <<EOF\nFROM not\nEOF\nFROM b\n",
    "json": 'FROM a\nRUN ["cat", "<<EOF"]\nFROM b\n',
    "an argument with a mark": "FROM a\nENV X <<EOF\nFROM b\n",
    "an open quote": "FROM a\nRUN echo it's <<EOF\nFROM b\n",
    "continuations": "FROM a\nRUN x && \\\n  # comment\n\n  y \\\n z\nFROM b\n",
    "two backslashes": "FROM a\nRUN echo \\\\\nFROM b\n",
    "spaces after a backslash": "FROM a\nRUN x \\  \n FROM not\nFROM b\n",
    "an escape": "# escape=`\nFROM a\nRUN dir c:\\\nRUN x `\n FROM not\nFROM b\n",
    "a syntax": "# syntax=docker/dockerfile:1\n# escape=`\nFROM `\n a\n",
    "a directive too late": "# comment\n# escape=`\nFROM a\nRUN x `\nFROM b\n",
    "an unknown directive": "# foo=bar\n# escape=`\nFROM a `\n  AS x\nFROM b\n",
    "line ends": "FROM a\r\nRUN <<EOF\r\nFROM not\r\nEOF\r\nFROM b\r\n",
    "a byte order mark": "\ufeffFROM a\nFROM b\n",
    "other line separators": "FROM a\nRUN echo '\x0b\x0c\u2028FROM not'\nFROM b\n",
    "a mount": "FROM a\nRUN --mount=type=bind,from=img,target=/x --network=none y\nFROM b\n",
    "flags over lines": "FROM a\nRUN --mount=type=cache,target=/x \\\n  --mount=from=img y\nFROM b\n",
    "a mark in a flag": "FROM a\nCOPY --chmod=755 <<EOF /x\nFROM not\nEOF\nFROM b\n",
    "an empty end": "FROM a\nRUN cat <<''\nFROM b\n\nFROM c\n",
    "a dash alone": "FROM a\nRUN cat <<-\nFROM b\n",
    "a test": "FROM a\nRUN [ -f <<EOF ]\nFROM not\nEOF\nFROM b\n",
    "almost a list": 'FROM a\nRUN ["a", <<EOF ]\nFROM not\nEOF\nFROM b\n',
    "quotes in braces": "FROM a\nRUN echo ${x:-'}'} ${y:-\"}\"} <<EOF\nFROM not\nEOF\nFROM b\n",
    "an open brace": "FROM a\nRUN echo ${x <<EOF\nFROM b\n",
    "a blank that is none": "FROM a\nRUN\u00a0x\nFROM b\n",
    "a backslash in a flag": "# escape=`\nFROM a\nRUN --mount=from=x\\ y`\n z\nFROM b\n",
    "no end of the line": "FROM a\nRUN x \\",
    "lower case": "from a\nrun <<eof\nfrom not\neof\nfrom b",
}


def by_docker(text: str) -> list[tuple[str, int, int, tuple[str, ...]]]:
    return [
        (instruction.cmd.upper(), instruction.start_line, instruction.end_line, instruction.flags)
        for instruction in dockerfile.parse_string(text)
    ]


def by_us(text: str) -> list[tuple[str, int, int, tuple[str, ...]]]:
    return [
        (instruction.name, instruction.start + 1, instruction.end, instruction.flags)
        for instruction in read_instructions(text.encode())
    ]


@pytest.mark.parametrize("name", WRITTEN)
def test_written_ones(name: str) -> None:
    assert by_us(WRITTEN[name]) == by_docker(WRITTEN[name])


PIECES = st.sampled_from(
    [
        "FROM a",
        "RUN",
        "COPY x /",
        "ONBUILD",
        "<<EOF",
        "<<-'E'",
        "<<<w",
        "$((1<<2))",
        "'<<EOF'",
        '"<<E"',
        "\\\n",
        "\n",
        "\n",
        "\n",
        " ",
        " ",
        "\t",
        "EOF\n",
        "E\n",
        "# c\n",
        "it's",
        "--mount=from=i",
        "[",
        "]",
        "$x",
        "${x}",
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join))
@settings(max_examples=500)
def test_any_text_that_docker_reads(text: str) -> None:
    whole = f"FROM base\n{text}\nFROM last\n"
    try:
        expected = by_docker(whole)
    except dockerfile.GoParseError:
        return
    assert by_us(whole) == expected


@pytest.mark.parametrize(
    ("text", "copied"),
    [
        ("FROM a\nRUN --mount=type=bind,from=img:1,target=/x y\n", ("img:1",)),
        ("FROM a\nRUN --mount=type=bind,target=/x,from=img:1 y\n", ("img:1",)),
        ("FROM a AS s\nRUN --mount=type=bind,from=s,target=/x y\n", ()),
        ("FROM a\nRUN --mount=type=cache,target=/from=x y\n", ()),
        ("FROM a\nRUN --mount=from=i --mount=from=j,target=/x y\n", ("i", "j")),
        ('FROM a\nRUN --mount=type=bind,"FROM=img",target=/x y\n', ("img",)),
        ("FROM a\nCOPY --link --from=img x /\n", ("img",)),
        ("FROM a\nRUN echo --from=img --mount=from=img\n", ()),
        ("FROM a AS s\nONBUILD COPY --from=img x /\nFROM s\n", ("img",)),
        ("FROM a\nonbuild run --mount=type=bind,from=img,target=/x y\n", ("img",)),
        ("FROM a AS s\nONBUILD COPY --from=s x /\nONBUILD ONBUILD RUN x\nONBUILD\n", ()),
        ("FROM a\nADD --mount=from=img x /\n", ()),
    ],
)
def test_images_that_files_come_from(text: str, copied: tuple[str, ...]) -> None:
    assert base_images(text.encode(), {}).copied_from == copied


def test_pins_of_images_that_files_come_from() -> None:
    text = b"FROM a\nCOPY --from=img x /\nRUN --mount=type=bind,From=img,target=/img cat img\nONBUILD COPY --from=img x /\n"
    expected = b"FROM a\nCOPY --from=img@sha256:1 x /\nRUN --mount=type=bind,From=img@sha256:1,target=/img cat img\nONBUILD COPY --from=img@sha256:1 x /\n"
    assert with_pins(text, {}, {"img": "img@sha256:1"}) == expected


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            "# syntax=me/mine\nFROM a\n",
            "it is read by me/mine, so images that it names may be missed",
        ),
        (
            "#!/usr/bin/env x\n# syntax=me/mine\nFROM a\n",
            "it is read by me/mine, so images that it names may be missed",
        ),
        ("FROM a:$X\n", "line 1: FROM a:$X: an argument without a value"),
        ("FROM a\nINCLUDE other\n", "line 2: there is no instruction INCLUDE"),
        ("FROM a\nRUN <<EOF\nx\n", "line 2: the here-document EOF has no end"),
        ("FROM a\nCOPY --from=$X x /\n", "line 2: COPY from $X: Docker fills in nothing"),
    ],
)
def test_what_is_not_understood_is_said(text: str, warning: str) -> None:
    assert base_images(text.encode(), {}).warnings == (warning,)
    assert base_images(b"# syntax=docker/dockerfile:1.7\nFROM a\n", {}).warnings == ()


def test_a_stage_may_be_named_after_the_platform() -> None:
    text = b"FROM a AS base-amd64\nFROM b AS base-arm64\nFROM base-${TARGETARCH}\nFROM c:$TARGETVARIANT\n"
    arguments = with_platform({"X": "y"}, "linux/arm64/v8")
    images = base_images(text, arguments)
    assert (images.built_on, images.warnings) == (("a", "b", "c:v8"), ())
    assert base_images(text, {}).warnings != ()


def test_a_build_argument_chooses_what_reads_a_dockerfile() -> None:
    [warning] = base_images(b"FROM a\n", {"BUILDKIT_SYNTAX": "me/mine"}).warnings
    assert warning.startswith("it is read by me/mine")
