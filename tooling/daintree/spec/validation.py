"""From a file's bytes to a checked specification, or to an error that names the file and the line."""

from __future__ import annotations

import re
from typing import Any, TypeVar, get_args

import msgspec

from daintree.errors import SpecError
from daintree.spec.component import FIXED_VARIABLES, ComponentSpec, Param, ParamType, Resources
from daintree.spec.parameters import value_problem
from daintree.spec.yaml import Document, KeyPath, dotted, parse_document
from daintree.terminal import nearest

_Spec = TypeVar("_Spec", bound=msgspec.Struct)

PARAM_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
RESERVED_PARAMS = frozenset({"input", "output", "help"})
STAGE = re.compile(r"[^:\s]+:[^:\s]+\Z")
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# Variables that the tooling sets itself, or that would change what a stage computes or which program it is.
RESERVED_VARIABLES = frozenset({*FIXED_VARIABLES, "PATH", "HOME", "USER", "LOGNAME", "TMPDIR"})
RESERVED_PREFIXES = ("DAINTREE_", "DYLD_", "LC_", "LD_", "PYTHON")
PYTHON = re.compile(r"3\.([1-9][0-9]?)\Z")
OLDEST_MINOR = 11
MEMORY = re.compile(r"[0-9]+(Ki|Mi|Gi)\Z")

_COMPLAINT = re.compile(r"(?s)(.*?)(?: - at `(\$.*)`)?\Z")
_WORDS = {
    "bool | int | float | str": "text, a number, true or false",
    "bool | int | float | str | null": "text, a number, true or false",
    "object": "a mapping",
    "array": "a list",
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
}


def convert(document: Document, kind: type[_Spec]) -> _Spec:
    """The document as a `kind`. Raises SpecError with file, line and key where it does not fit."""
    value = {} if document.value is None else document.value
    if not isinstance(value, dict):
        raise SpecError(f"{document.place(())}: expected a mapping of keys to values")
    try:
        return msgspec.convert(value, type=kind)
    except msgspec.ValidationError as error:
        path = _path_of(error, value, kind)
        text, hint = _split(error)[0], ""
        unknown = re.search(r"(?s)unknown field `(.*)`", text)
        if unknown:
            hint = nearest(unknown[1], _keys(kind, path))
            path = (*path, unknown[1])
            text = f"unknown key {unknown[1]!r}"
        elif "enum value" in text:
            hint = f"a type is one of: {', '.join(get_args(ParamType))}"
        elif path == ("python",):
            hint = 'in quotes, since 3.10 is the number 3.1: python: "3.12"'
        place = document.place(path)
        key = f" (at {dotted(path)})" if path and document.lines else ""
        raise SpecError(f"{place}: {_plain(text)}{key}", hint=hint) from None


def _keys(kind: Any, path: KeyPath) -> list[str]:
    """The keys that the mapping at `path` of a `kind` may have."""
    from msgspec import inspect

    def mappings(place: inspect.Type) -> list[Any]:
        kinds = place.types if isinstance(place, inspect.UnionType) else (place,)
        return [kind for kind in kinds if isinstance(kind, inspect.StructType | inspect.DictType)]

    place: Any = inspect.type_info(kind)
    for part in path:
        if isinstance(place, inspect.VarTupleType):
            place = place.item_type
        elif isinstance(mapping := mappings(place)[0], inspect.DictType):
            place = mapping.value_type
        else:
            place = next(field.type for field in mapping.fields if field.name == part)
    return [field.name for field in mappings(place)[0].fields]


def _split(error: msgspec.ValidationError) -> tuple[str, str]:
    """(problem, msgspec's path to it, e.g. `$.stages[0].params[...]`)"""
    match = _COMPLAINT.match(str(error))
    return (match[1], match[2] or "") if match else (str(error), "")


def _path_of(error: msgspec.ValidationError, value: Any, kind: type[msgspec.Struct]) -> KeyPath:
    """The path of the error. msgspec writes `[...]` for any key of a mapping; the key is found by trying them."""
    path: KeyPath = ()
    for name, index in re.findall(r"\.(\w+)|\[([0-9]+|\.\.\.)\]", _split(error)[1]):
        if index == "...":
            path = (*path, _culprit(error, value, path, kind))
        else:
            path = (*path, int(index) if index else name)
    return path


def _culprit(
    error: msgspec.ValidationError, value: Any, path: KeyPath, kind: type[msgspec.Struct]
) -> str:
    """The first key of the mapping at `path` that leads to the same error by itself."""
    table = value
    for part in path:
        table = table[part]
    for key in table:
        try:
            msgspec.convert(_with_only(value, path, key), type=kind)
        except msgspec.ValidationError as same:
            if str(same) == str(error):
                return str(key)
    return "…"


def _with_only(value: Any, path: KeyPath, key: str) -> Any:
    """`value`, but the mapping at `path` has only this one key."""
    if not path:
        return {key: value[key]}
    copy = value.copy()
    copy[path[0]] = _with_only(value[path[0]], path[1:], key)
    return copy


def _plain(text: str) -> str:
    """msgspec's words, for somebody who writes YAML."""

    def words(match: re.Match[str]) -> str:
        kinds = [match[1]] if match[1] in _WORDS else match[1].split(" | ")
        return " or ".join(_WORDS.get(kind, f"`{kind}`") for kind in kinds)

    missing = re.match(r"Object missing required field `(.+)`", text)
    if missing:
        return f"the key {missing[1]!r} is missing"
    text = re.sub("`([a-z| ]+)`", words, text)
    return text[:1].lower() + text[1:]


def check_resources(resources: Resources, place: str) -> None:
    """Raise SpecError unless `memory` reads like "512Mi", and `cpu` and `gpu` are not negative."""
    if resources.memory and not MEMORY.match(resources.memory):
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
        if stage and not STAGE.match(stage):
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
    match = PYTHON.match(version)
    if version and not (match and int(match[1]) >= OLDEST_MINOR):
        raise SpecError(
            f"{place}: {version!r} is no version of Python that components run with",
            hint=f'write e.g. python: "3.12"; the oldest is 3.{OLDEST_MINOR}',
        )


def _check_variable(name: str, place: str) -> None:
    if not VARIABLE_NAME.match(name):
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
            raise SpecError(f"{place}: {problem}")
