"""Parameter values: checked against their parameters, read from text, written as arguments."""

from __future__ import annotations

import math
import re

from daintree.spec.component import Param, Scalar

MAX_INT = (1 << 63) - 1

_SURROGATE = re.compile("[\ud800-\udfff]")
_TYPES: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}


def value_problem(value: Scalar, param: Param) -> str:
    """Reason, in words, that the value does not fit the parameter; "" when it fits.

    A whole number fits a float parameter; nothing else is taken for another type.
    """
    kind = type(value)
    if kind is not _TYPES[param.type] and not (param.type == "float" and kind is int):
        hint = ", quote it" if param.type == "str" else ""
        return f"expected {param.type}, got {kind.__name__} {value!r}{hint}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value!r} is not a finite number"
    if isinstance(value, int) and abs(value) > MAX_INT:
        return "a number beyond 64 bits cannot be recorded"
    if isinstance(value, str) and "\0" in value:
        return "a NUL character cannot be passed to a program"
    if isinstance(value, str) and _SURROGATE.search(value):
        return f"{value!r} is not UTF-8 text"
    if param.choices and value not in param.choices:
        return f"{value!r} is none of {', '.join(str(choice) for choice in param.choices)}"
    return ""


def canonical(value: Scalar, param: Param) -> Scalar:
    """The one form of a fitting value: a float parameter's value is always a float."""
    return float(value) if param.type == "float" else value


def parse_value(text: str, param: Param) -> Scalar:
    """The value that `text` from a command line means for this parameter.

    Raises ValueError, its text saying what was expected.
    """
    if param.type == "bool":
        if text.lower() not in ("true", "false"):
            raise ValueError(f"expected true or false, got {text!r}")
        return text.lower() == "true"
    if param.type == "str":
        return text
    try:
        return int(text) if param.type == "int" else float(text)
    except ValueError:
        kind = "a whole number" if param.type == "int" else "a number"
        raise ValueError(f"expected {kind}, got {text!r}") from None


def as_argument(value: Scalar) -> str:
    """The value in the form in which a component's command line takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
