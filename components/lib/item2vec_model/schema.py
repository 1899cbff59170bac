"""`model.json`: which schema the files of a model directory follow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stageio import StageError, table

DESCRIPTION = "model.json"
KIND = "item2vec"
# To be raised by every change of the files that an older reader would misread.
SCHEMA = 1


def write_description(directory: Path, parameters: Mapping[str, Any] | None = None) -> None:
    """Write `model.json`: the kind and the schema of the model whose files lie in `directory`.

    `parameters` are those it was trained with, for people to read.
    """
    described = {"kind": KIND, "schema": SCHEMA, "parameters": dict(parameters or {})}
    text = json.dumps(described, sort_keys=True)
    (directory / DESCRIPTION).write_text(text + "\n", encoding="utf-8", newline="\n")


def check_description(directory: Path) -> None:
    """Raise StageError unless `model.json` says that the model has the kind and schema known here."""
    read_description(directory)


def read_description(directory: Path) -> dict[str, Any]:
    """What `model.json` says of the model: its kind, its schema, and its parameters.

    Raises StageError unless it is of the kind and schema known here.
    """
    path = table(directory, DESCRIPTION)
    try:
        described = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        described = None
    if not isinstance(described, dict):
        raise StageError(f"{path}: not a JSON object", "take the file as train writes it")
    kind, schema = described.get("kind"), described.get("schema")
    if kind != KIND:
        raise StageError(
            f"{path}: a model of the kind {kind!r}, expected {KIND!r}",
            "give the output of item2vec/train",
        )
    if isinstance(schema, bool) or schema != SCHEMA:
        raise StageError(
            f"{path}: a model of schema {schema!r}, and this program knows schema {SCHEMA}",
            "train the model again, or take the program of the model's own version",
        )
    parameters = described.get("parameters")
    return {**described, "parameters": parameters if isinstance(parameters, dict) else {}}
