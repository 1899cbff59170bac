"""Manifests as YAML that a person would write: in their own order, strings quoted where some reader takes them for more than text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from daintree.spec.component import Scalar
from daintree.spec.parameters import as_argument

# Text that every YAML reader takes for text. Go's reads y, n, Y and N as truth values, others read 1_000, 1:30 and
# 2026-03-01 as numbers and times.
_SURE = re.compile(
    r"[A-Za-z_/][A-Za-z0-9_./@-]*(?:[:=][A-Za-z0-9_./@-]+)*|--[a-z][A-Za-z0-9-]*(?:=[A-Za-z0-9_./-]+)?|[A-Za-z/][A-Za-z0-9_./ @-]*[A-Za-z0-9_./@-]"
)
_WORDS = frozenset(
    ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan", "inf"]
)


def manifest_text(documents: Sequence[Mapping[str, Any]], comments: Sequence[str] = ()) -> str:
    """The documents as YAML, `comments` above the first; equal documents give equal text, and reading it gives the documents."""
    import yaml

    dumper: Any = type("ManifestDumper", (getattr(yaml, "CSafeDumper", yaml.SafeDumper),), {})
    dumper.ignore_aliases = lambda self, value: True
    dumper.add_representer(str, _represent)
    text = "---\n".join(
        yaml.dump(
            document,
            Dumper=dumper,
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=False,
            width=1 << 20,
        )
        for document in documents
    )
    return "".join(f"# {comment}".rstrip() + "\n" for comment in _lines(comments)) + text


def is_sure(text: str) -> bool:
    """True when every reader of YAML takes the bare text for text."""
    return _SURE.fullmatch(text) is not None and text.lower() not in _WORDS


def _represent(dumper: Any, text: str) -> Any:
    if is_sure(text):
        style = None
    elif "\n" in text and _is_block(text):
        style = "|"
    else:
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _is_block(text: str) -> bool:
    """True when the text may stand as a block: visible characters in lines that end as they look."""
    lines = text.split("\n")
    return (
        all(line.isprintable() and line == line.rstrip() for line in lines)
        and not text[:1].isspace()
    )


def _lines(comments: Sequence[str]) -> list[str]:
    """Comments as single lines: what is not visible in them is shown by its escape."""
    return [
        "".join(c if c.isprintable() else repr(c)[1:-1] for c in comment) for comment in comments
    ]


# A variable of the container that holds a brace: `{{` is written with it, and only the kubelet puts it back.
BRACE = "BRACE"
BRACE_VARIABLES = {BRACE: "{"}

# What both leave alone, and what people read at a glance: no braces, no `$`, no quotes, nothing invisible.
_EDGE = r"[A-Za-z0-9_./:@,;+*=()\[\]<>!?&%#^~|-]"
_PLAIN = re.compile(rf"{_EDGE}(?:(?:{_EDGE}| ){{0,198}}{_EDGE})?")


def is_plain(value: Scalar) -> bool:
    """True when a parameter's value may be passed through Argo's own parameters."""
    return _PLAIN.fullmatch(as_argument(value)) is not None


def flag(name: str, text: str) -> str:
    """A parameter as one word of the command line: joined, so that no value is taken for a flag."""
    return f"--{name.replace('_', '-')}={text}"


def escape(text: str) -> str:
    """`text` for a manifest's `command`, `args` or the value of a variable: as Argo and the kubelet make `text` of it."""
    text = text.replace("$", "$$")
    return text.replace("{", f"$({BRACE})") if "{{" in text else text


def needs_brace(texts: Mapping[str, str] | tuple[str, ...]) -> bool:
    """True when the container of these escaped texts needs BRACE_VARIABLES."""
    return any(f"$({BRACE})" in text for text in texts)
