"""Which run a model comes from, and whether its files are what that run wrote.

A run lies in the artifact store as `run.json` beside `output/`; `_history/PIPELINE/STAGE/DAY/TIME-RUN`
says where; day and time are inverted, so that the newest run sorts first. `_names/PIPELINE/NAME` holds the runs that have a name.
Nothing else of the store is known here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stageio import StageError

from .places import OUTPUT, Place, open_place

Record = dict[str, Any]

METRICS = "metrics.json"
_MANIFEST = "run.json"
# Where the rest of a record begins, after its checksum.
_BODY = len('{"checksum":"') + 64 + len('",')
_HISTORY = "_history"
_NAMES = "_names"
_STAGE = r"[\w.-]+:[\w.-]+(?:@[\w.-]+)?"
_REFERENCE = re.compile(rf"{_STAGE}|\d{{8}}T\d{{9}}Z-[0-9a-f]{{8}}")
# How many of the pipeline's latest runs are looked through for the model's metrics.
_RUNS_LOOKED_AT = 100


@dataclass(frozen=True)
class Provenance:
    """Where a model was read from, the run that wrote it and its metrics, where these are known."""

    place: str
    run: Record | None = None
    metrics: Record | None = None

    @property
    def run_id(self) -> str:
        """The id of the run, "" where it is not known."""
        return str(self.run["run"]) if self.run else ""


def is_stage(reference: str) -> bool:
    """Whether a reference to a model is PIPELINE:STAGE, or PIPELINE:STAGE@NAME."""
    return bool(re.fullmatch(_STAGE, reference)) and not Path(reference).is_dir()


@contextmanager
def opened(reference: str, store: str) -> Iterator[tuple[Path, Provenance]]:
    """A local directory with the files of a model, and its provenance.

    `reference` is a directory, `s3://BUCKET/PREFIX`, or, looked up in the artifact store `store`,
    a run id, PIPELINE:STAGE, which is the latest run of that stage that succeeded, or
    PIPELINE:STAGE@NAME, the one that has the name now. A directory may be that of a run. Raises StageError when there is no such model, and when the files are
    not what their run wrote.
    """
    files, provenance = _located(reference, store)
    with files.fetched() as directory:
        if provenance.run:
            _check_files(directory, provenance.run)
        yield directory, provenance


def _located(reference: str, store: str) -> tuple[Place, Provenance]:
    if _REFERENCE.fullmatch(reference) and not Path(reference).is_dir():
        if not store:
            raise StageError(
                f"--input {reference}: a run is looked up in a store, and none is given",
                "give --store DIR or --store s3://BUCKET, or a model's directory as --input",
            )
        return _looked_up(reference, open_place(store))
    place = open_place(reference)
    run = _read_run(place)
    if run is not None:
        return place.below(OUTPUT), Provenance(str(place), run)
    parent = place.parent()
    return place, Provenance(str(place), _read_run(parent) if parent else None)


def _looked_up(reference: str, store: Place) -> tuple[Place, Provenance]:
    if "@" in reference:
        return _named(reference, store)
    wanted = reference.replace(":", "/")
    is_run = "/" not in wanted
    below = _HISTORY if is_run else f"{_HISTORY}/{wanted}"
    for name in store.below(below).names():
        if not is_run:
            name = f"{wanted}/{name}"
        if not is_run or _run_of(name) == wanted:
            place = _location(store, name)
            run = _read_run(place) if place else None
            if place and run and run.get("result") == "succeeded":
                return place.below(OUTPUT), Provenance(str(place), run, _metrics(store, run))
    raise StageError(
        f"--input {reference}: no such run that succeeded in {store}",
        "`doit history` lists the runs",
    )


def _named(reference: str, store: Place) -> tuple[Place, Provenance]:
    """The run that has the name now, exactly as it was named."""
    stage, _, name = reference.partition("@")
    pipeline, _, stage = stage.partition(":")
    path = f"{_NAMES}/{pipeline}/{name}"
    runs = _whole(store.read(path), path).get("runs") or {}
    named = runs.get(stage) if isinstance(runs, dict) else None
    place = _below(store, named.get("location")) if isinstance(named, dict) else None
    content = place.read(_MANIFEST) if place else None
    if not (place and content and hashlib.sha256(content).hexdigest() == named["record"]):
        raise StageError(
            f"--input {reference}: no run has that name in {store}, or it is gone",
            "`doit name --list` shows the names",
        )
    run = _read_run(place)
    return place.below(OUTPUT), Provenance(str(place), run, _metrics(store, run) if run else None)


def _run_of(name: str) -> str:
    """The id of the run that an entry of the history is of."""
    return name.rpartition("/")[2].partition("-")[2]


def _location(store: Place, name: str) -> Place | None:
    """Where the run lies that the history holds under `name`."""
    return _below(store, _json(store.read(f"{_HISTORY}/{name}")).get("location"))


def _below(store: Place, location: object) -> Place | None:
    if not isinstance(location, str) or ".." in location.split("/") or location.startswith("/"):
        return None
    return store.below(location)


def _metrics(store: Place, model: Record) -> Record | None:
    """What another stage of the same pipeline measured on the output of the run `model`."""
    pipeline = str(model["pipeline"])
    names = store.below(_HISTORY).below(pipeline).names()
    others = [name for name in names if name.partition("/")[0] != model["stage"]]
    others.sort(key=lambda name: name.split("/")[1:])
    for name in others[:_RUNS_LOOKED_AT]:
        place = _location(store, f"{pipeline}/{name}")
        run = _read_run(place) if place else None
        read = [given.get("digest") for given in (run or {}).get("inputs", ())]
        if place and model["output"]["digest"] in read:
            metrics = _json(place.below(OUTPUT).read(METRICS))
            if metrics:
                return metrics
    return None


def _read_run(place: Place) -> Record | None:
    """The record of the run at a place; None where there is none that is as the store wrote it."""
    content = place.read(_MANIFEST)
    run = _whole(content, f"{_json(content).get('location')}/{_MANIFEST}")
    return run if isinstance(run.get("run"), str) else None


def _whole(content: bytes | None, path: str) -> Record:
    """The record that stands at a path of the store; an empty one unless it is as the store wrote it there."""
    body = (content or b"")[_BODY:]
    checksum = hashlib.sha256(f"daintree:stored:1\n{path}\n".encode() + body).hexdigest()
    whole = (content or b"")[:_BODY] == f'{{"checksum":"{checksum}",'.encode()
    return _json(content) if whole else {}


def _json(content: bytes | None) -> Record:
    try:
        value = json.loads(content or b"null")
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {}


def _check_files(directory: Path, run: Record) -> None:
    for entry in (run.get("output") or {}).get("files", ()):
        path = directory / entry["path"]
        try:
            with path.open("rb") as file:
                same = hashlib.file_digest(file, "sha256").hexdigest() == entry["sha256"]
        except FileNotFoundError:
            same = False
        if not same:
            raise StageError(
                f"{path}: not the file that run {run['run']} wrote",
                "run the pipeline again: it finds the damage and repairs it",
            )
