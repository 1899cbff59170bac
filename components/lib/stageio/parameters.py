"""A component's command line, made from the `params` of its component.yaml."""

from __future__ import annotations

import argparse
import difflib
import keyword
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .errors import StageError

Value = int | float | str | bool

_NAME = re.compile("[a-z][a-z0-9_]*")
# Where a container has what it reads and writes.
DATA = Path("/application/data")

_RESERVED = {"input", "output", "help"}


def read_description(path: Path) -> dict[str, Any]:
    """The content of the component.yaml at `path`, each scalar as the text it is written as.

    As text, `no` and `1e-3` mean what the tooling takes them for; YAML 1.1, which PyYAML knows,
    makes them false and text. Raises StageError when it is missing, is not valid YAML or does not hold a mapping.
    """
    import yaml

    try:
        content = yaml.load(path.read_bytes(), Loader=yaml.BaseLoader)
    except FileNotFoundError:
        raise StageError(
            f"{path}: no such file", "a component's parameters are declared in component.yaml"
        ) from None
    except yaml.YAMLError as error:
        raise StageError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or not isinstance(content.get("params") or {}, dict):
        raise StageError(f"{path}: expected a mapping with a mapping `params` in it")
    return content


def parse(
    description: Mapping[str, Any], argv: Sequence[str], program: str, data: Path = DATA
) -> dict[str, Value]:
    """`input`, `output` and each declared parameter, from the arguments `argv`.

    A flag is the parameter's name with dashes; underscores do as well. A parameter that is not
    given has its default, and must be given where it has none. Of a flag given twice the last
    counts. In a container where `data` is mounted, `input` and `output` are those in it unless they
    are given; elsewhere they must be.

    Raises StageError for an unknown flag, a missing or an ill-typed value, and for a declaration
    that makes no sense.
    """
    params = description.get("params") or {}
    parser = _Parser(
        prog=program,
        description=str(description.get("description", "")),
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for name, purpose in (("input", "read from"), ("output", "write to")):
        parser.add_argument(
            f"--{name}",
            required=not data.is_dir(),
            metavar="DIR",
            default=str(data / name) if data.is_dir() else argparse.SUPPRESS,
            help=f"directory to {purpose}, or s3://BUCKET/PREFIX",
        )
    for name, declared in params.items():
        _add(parser, name, declared)
    flags = [_flag(name) for name in ("input", "output", *params)]
    values, unknown = parser.parse_known_args([_dashed(argument, flags) for argument in argv])
    if unknown:
        raise _unknown(unknown[0], flags)
    return vars(values)


def names(flag: str, listing: str) -> list[str]:
    """The names in the value of a flag, a list separated by commas; [] for "".

    Raises StageError for a name that is empty or repeated.
    """
    found = [name.strip() for name in listing.split(",")] if listing.strip() else []
    wrong = [name for name in found if not name or found.count(name) > 1]
    if wrong:
        problem = f"{wrong[0]!r} is repeated" if wrong[0] else "an empty name"
        raise StageError(f"{flag}: {problem}", "names are separated by single commas")
    return found


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        hint = f"{self.prog} --help lists the parameters"
        if "expected one argument" in message:
            hint = "a value that starts with a dash is written --name=VALUE"
        raise StageError(message, hint)


def _add(parser: _Parser, name: object, declared: object) -> None:
    place = f"component.yaml: params.{name}"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise StageError(f"{place}: a name is made of lower case letters, digits and underscores")
    if name in _RESERVED or keyword.iskeyword(name):
        raise StageError(f"{place}: this name is reserved")
    if not isinstance(declared, dict) or declared.get("type") not in _CONVERSIONS:
        types = ", ".join(_CONVERSIONS)
        raise StageError(f"{place}: expected a mapping with a type, which is one of {types}")
    try:
        convert = _converter(declared["type"], declared.get("choices") or ())
        default = convert(declared["default"]) if "default" in declared else argparse.SUPPRESS
    except argparse.ArgumentTypeError as error:
        raise StageError(f"{place}: {error}") from None
    optional: dict[str, Any] = {"nargs": "?", "const": True} if declared["type"] == "bool" else {}
    parser.add_argument(
        _flag(name),
        dest=name,
        type=convert,
        required="default" not in declared,
        default=default,
        metavar=declared["type"].upper(),
        help=declared.get("help", " ").replace("%", "%%"),
        **optional,
    )


def _converter(kind: str, choices: Sequence[str]) -> Callable[[str], Value]:
    """What makes a value of a text, or raises ArgumentTypeError."""

    def plain(text: str) -> Value:
        try:
            return _CONVERSIONS[kind](text)
        except ValueError:
            expected = "true or false" if kind == "bool" else kind
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}") from None

    allowed = [plain(choice) for choice in choices]

    def convert(text: str) -> Value:
        value = plain(text)
        if allowed and value not in allowed:
            raise argparse.ArgumentTypeError(f"expected one of {', '.join(choices)}, got {text!r}")
        return value

    return convert


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


_CONVERSIONS: dict[str, Callable[[str], Value]] = {
    "int": int,
    "float": _finite,
    "str": str,
    "bool": _boolean,
}


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _dashed(argument: str, flags: Sequence[str]) -> str:
    name, equals, value = argument.partition("=")
    flag = name[:2] + name[2:].replace("_", "-")
    return flag + equals + value if flag in flags else argument


def _unknown(argument: str, flags: Sequence[str]) -> StageError:
    name = argument.partition("=")[0]
    near = difflib.get_close_matches(name, flags, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the flags are {', '.join(flags)}"
    return StageError(f"unknown argument {name}", hint)
