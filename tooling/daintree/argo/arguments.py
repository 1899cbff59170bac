"""A component's arguments as a manifest holds them, so that the container gets every character as it was.

Two programs replace text on the way. Argo's controller replaces `{{…}}` wherever it stands in a template, and quotes
what it puts in by Go's rules, which for unusual characters are not JSON's; the kubelet replaces `$(NAME)` by a variable
of the container, leaves an unknown one alone, and makes `$$` one `$`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from daintree.manifest import Scalar
from daintree.spec.values import as_argument

# A variable of the container that holds a brace: `{{` is written with it, and only the kubelet puts it back.
BRACE = "BRACE"
BRACE_VARIABLES = {BRACE: "{"}

# What both leave alone, and what people read at a glance: no braces, no `$`, no quotes, nothing invisible.
_EDGE = r"[A-Za-z0-9_./:@,;+*=()\[\]<>!?&%#^~|-]"
_PLAIN = re.compile(rf"{_EDGE}(?:(?:{_EDGE}| ){{0,198}}{_EDGE})?")
_PARAMETER = re.compile(r"\{\{inputs\.parameters\.([A-Za-z0-9_-]+)\}\}")
_EXPANSION = re.compile(r"\$(?:\$|\(([^)]*)\))")


def is_plain(value: Scalar) -> bool:
    """Whether a parameter's value may be passed through Argo's own parameters."""
    return _PLAIN.fullmatch(as_argument(value)) is not None


def flag(name: str, text: str) -> str:
    """A parameter as one word of the command line: joined, so that no value is taken for a flag."""
    return f"--{name.replace('_', '-')}={text}"


def written(text: str) -> str:
    """`text` for a manifest's `command`, `args` or the value of a variable: as Argo and the kubelet make `text` of it."""
    text = text.replace("$", "$$")
    return text.replace("{", f"$({BRACE})") if "{{" in text else text


def needs_brace(texts: Mapping[str, str] | tuple[str, ...]) -> bool:
    """Whether the container of these written texts needs BRACE_VARIABLES."""
    return any(f"$({BRACE})" in text for text in texts)


def received(text: str, inputs: Mapping[str, str], variables: Mapping[str, str]) -> str:
    """What a container gets for a manifest's `text`: Argo puts its template's input parameters in, then the kubelet expands.

    A parameter that is not among `inputs` stays as it stands.
    """
    filled = _PARAMETER.sub(lambda found: inputs.get(found[1], found[0]), text)
    return _EXPANSION.sub(lambda found: _expanded(found, variables), filled)


def _expanded(found: re.Match[str], variables: Mapping[str, str]) -> str:
    if found[1] is None:
        return "$"
    return variables.get(found[1], found[0])
