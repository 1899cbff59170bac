"""`component.yaml`: a component's or library's description of itself, and the values of its parameters."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from typing import Literal

import msgspec

from daintree.errors import SpecError
from daintree.spec.document import Document, convert, parse_document

Scalar = bool | int | float | str

# Every stage has these variables and values, so that its result does not depend on who runs it.
FIXED_VARIABLES = {
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONUNBUFFERED": "1",
}


ParamType = Literal["int", "float", "str", "bool"]

PARAM_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
RESERVED_PARAMS = frozenset({"input", "output", "help"})
STAGE = r"[^:\s]+:[^:\s]+\Z"
VARIABLE_NAME = r"[A-Za-z_][A-Za-z0-9_]*\Z"
# Variables that the tooling sets itself, or that would change what a stage computes or which program it is.
RESERVED_VARIABLES = frozenset({*FIXED_VARIABLES, "PATH", "HOME", "USER", "LOGNAME", "TMPDIR"})
RESERVED_PREFIXES = ("DAINTREE_", "DYLD_", "LC_", "LD_", "PYTHON")
PYTHON = r"3\.([1-9][0-9]?)\Z"
OLDEST_MINOR = 11
MEMORY = r"[0-9]+(Ki|Mi|Gi)\Z"

MAX_INT = (1 << 63) - 1

_SURROGATE = "[\ud800-\udfff]"
_TYPES: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}


class Resources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of a stage: `cpu` cores (0: no limit) and `memory` such as "512Mi" or "2Gi" ("": no limit); the `gpu` devices it gets."""

    cpu: float = 0
    memory: str = ""
    gpu: int = 0


class Param(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One parameter: its type, its default (none: it must be given), the values allowed, a line of help.

    `affects_output: false` says that it changes only how fast, never what: it stays out of the stage key.
    """

    type: ParamType
    default: Scalar | None = None
    help: str = ""
    choices: tuple[Scalar, ...] = ()
    affects_output: bool = True


class ComponentSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A component's own description; every part has a default, so the file may be missing.

    `python` is the version that it runs with, e.g. "3.12" ("": the tooling's own). `uses` names the libraries whose sources lie beside main.py; `network` whether the stage needs one; `env` the variables
    of your environment that the stage gets, for credentials and addresses alone; `outputs` the files its output must hold (`[]`: none, for a stage whose effect is not in files); `build_args` go to the image build. `serves` makes it a service: it
    answers requests until it is stopped, from what the stage it names, as PIPELINE:STAGE, has written. `monitors`
    makes it a monitor: it compares what a service of that stage has served with what the model was trained on.
    """

    description: str = ""
    python: str = ""
    uses: tuple[str, ...] = ()
    params: dict[str, Param] = {}
    network: bool = False
    env: tuple[str, ...] = ()
    resources: Resources = Resources()
    outputs: tuple[str, ...] | None = None
    serves: str = ""
    monitors: str = ""
    build_args: dict[str, str] = {}


def value_problem(value: Scalar, param: Param) -> str:
    """Reason, in words, that the value does not fit the parameter; "" when it fits.

    A whole number fits a float parameter; nothing else is taken for another type.
    """
    kind = type(value)
    if kind is not _TYPES[param.type] and not (param.type == "float" and kind is int):
        return f"expected {param.type}, got {kind.__name__} {value!r}{_advice(value, param)}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value!r} is not a finite number"
    if isinstance(value, int) and abs(value) > MAX_INT:
        return "a number beyond 64 bits cannot be recorded"
    if isinstance(value, str) and "\0" in value:
        return "a NUL character cannot be passed to a program"
    if isinstance(value, str) and re.search(_SURROGATE, value):
        return f"{value!r} is not UTF-8 text"
    if param.choices and value not in param.choices:
        return f"{value!r} is none of {', '.join(str(choice) for choice in param.choices)}"
    return ""


def _advice(value: Scalar, param: Param) -> str:
    """A remedy for a value of another type than the parameter's, after a comma; "" for none known."""
    if param.type == "str":
        return ", quote it"
    if param.type == "bool":
        return ", write true or false"
    with suppress(ValueError):
        if isinstance(value, str):
            parse_value(value, param)
            return ", leave out the quotes"
    return ""


def canonical(value: Scalar, param: Param) -> Scalar:
    """The one form of a fitting value: a float parameter's value is always a float."""
    return float(value) if param.type == "float" else value


def fitting(value: Scalar, param: Param) -> Scalar:
    """The value in its one form. Raises ValueError, its text saying why it does not fit the parameter."""
    if problem := value_problem(value, param):
        raise ValueError(problem)
    return canonical(value, param)


def parse_value(text: str, param: Param) -> Scalar:
    """The value that `text` from a command line means for this parameter, and that fits it.

    Raises ValueError, its text saying what was expected.
    """
    value: Scalar = text
    if param.type == "bool":
        if text.lower() not in ("true", "false"):
            raise ValueError(f"expected true or false, got {text!r}")
        value = text.lower() == "true"
    elif param.type != "str":
        try:
            value = int(text) if param.type == "int" else float(text)
        except ValueError:
            kind = "a whole number" if param.type == "int" else "a number"
            raise ValueError(f"expected {kind}, got {text!r}") from None
    return fitting(value, param)


def as_argument(value: Scalar) -> str:
    """The value in the form in which a component's command line takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def word(value: Scalar | None) -> str:
    """A parameter's value as it is written in a pipeline, text in quotes; "(none)" for none."""
    if value is None:
        return "(none)"
    return repr(value) if isinstance(value, str) else str(value).lower()


def check_resources(resources: Resources, place: str) -> None:
    """Raise SpecError unless `memory` reads like "512Mi", and `cpu` and `gpu` are not negative."""
    if resources.memory and not re.match(MEMORY, resources.memory):
        raise SpecError(
            f"{place}: memory {resources.memory!r} is not an amount", hint="write e.g. 512Mi or 2Gi"
        )
    for name, amount in (("cpu", resources.cpu), ("gpu", resources.gpu)):
        if amount < 0:
            raise SpecError(f"{place}: {name} must not be negative")


def read_component(content: bytes, where: str) -> ComponentSpec:
    """The component file's specification, its parameters' names, defaults and choices checked.

    Raises SpecError.
    """
    document = parse_document(content, where)
    spec = convert(document, ComponentSpec)
    for name, param in spec.params.items():
        _check_param(name, param, document)
    check_resources(spec.resources, document.place(("resources",)))
    _check_python(spec.python, document.place(("python",)))
    for key, stage in (("serves", spec.serves), ("monitors", spec.monitors)):
        if stage and not re.match(STAGE, stage):
            raise SpecError(
                f"{document.place((key,))}: {stage!r} names no stage",
                hint=f"write PIPELINE:STAGE, e.g. {key}: item2vec:train",
            )
    for index, variable in enumerate(spec.env):
        _check_variable(variable, document.place(("env", index)))
    for output in spec.outputs or ():
        if output.startswith("/") or ".." in output.split("/") or not output:
            raise SpecError(
                f"{document.place(('outputs',))}: {output!r} is not a path inside the output"
            )
    return spec


def _check_python(version: str, place: str) -> None:
    match = re.match(PYTHON, version)
    if version and not (match and int(match[1]) >= OLDEST_MINOR):
        raise SpecError(
            f"{place}: {version!r} is no version of Python that components run with",
            hint=f'write e.g. python: "3.12"; the oldest is 3.{OLDEST_MINOR}',
        )


def _check_variable(name: str, place: str) -> None:
    if not re.match(VARIABLE_NAME, name):
        raise SpecError(
            f"{place}: {name!r} is not the name of an environment variable",
            hint="env lists names only, e.g. env: [DB_PASSWORD]; the value comes from your environment",
        )
    if name in RESERVED_VARIABLES or name.startswith(RESERVED_PREFIXES):
        raise SpecError(
            f"{place}: the variable {name} is the tooling's own, and cannot be taken from outside",
            hint="env is for credentials and addresses; a value that changes the result is a parameter",
        )


def _check_param(name: str, param: Param, document: Document) -> None:
    place = document.place(("params", name))
    if not PARAM_NAME.match(name) or name in RESERVED_PARAMS:
        raise SpecError(
            f"{place}: {name!r} cannot be a parameter's name",
            hint="lower-case letters, digits and _, and none of: "
            + ", ".join(sorted(RESERVED_PARAMS)),
        )
    for value in (*param.choices, *(() if param.default is None else (param.default,))):
        problem = value_problem(value, param)
        if problem:
            raise SpecError(f"{place}: parameter {name!r}: {problem}")
