"""Reasons of a miss, in words: the differences between now and the stage's last run in the store."""

from __future__ import annotations

from collections.abc import Mapping

from daintree.digest import short
from daintree.pipeline.decisions import BoundStage
from daintree.spec.component import Scalar
from daintree.store.records import RunManifest

MOST_FILES = 4


def miss_reason(
    stage: BoundStage, inputs: Mapping[str, str] | None, last: RunManifest | None
) -> str:
    """The differences from `last`, the latest run of this stage; they are never guessed.

    `inputs` are the digests of the stage's inputs as far as they are known.
    """
    if last is None:
        return "no run recorded"
    causes: list[str] = []
    if last.component != stage.component:
        causes.append(f"component {last.component} → {stage.component}")
    elif last.version != stage.version and not (last.version_files and stage.files):
        # One of the two was read from an image, which does not tell its files.
        causes.append(
            f"component {stage.component} {short(last.version, 8)} → {short(stage.version, 8)}"
        )
    elif last.version != stage.version:
        changed = changed_files(last.version_files, stage.files)
        detail = f": {changed}" if changed else ": base image, platform or build arguments"
        causes.append(f"component {stage.component} changed{detail}")
    causes += changed_parameters(last, stage)
    if last.environment != stage.environment:
        causes.append(f"environment {last.environment} → {stage.environment}")
    if last.refresh != stage.refresh:
        causes.append(f"refresh {last.refresh or 'never'} → {stage.refresh or 'never'}")
    causes += _changed_inputs(stage, last, inputs)
    if causes:
        return "; ".join(causes)
    return "the last run failed" if last.result == "failed" else "its run is gone from the store"


def changed_files(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The files that differ, e.g. "main.py, notes.txt added"; "" when none does."""
    words = []
    for path in sorted(before.keys() | now.keys()):
        if before.get(path) != now.get(path):
            ending = " added" if path not in before else " deleted" if path not in now else ""
            words.append(path + ending)
    more = f" and {len(words) - MOST_FILES} more" if len(words) > MOST_FILES else ""
    return ", ".join(words[:MOST_FILES]) + more


def changed_parameters(last: RunManifest, stage: BoundStage) -> list[str]:
    """One phrase for each parameter whose value differs, e.g. "params.epochs 50 → 20"."""
    before = {k: v for k, v in last.parameters.items() if k not in last.ineffective}
    same = last.component == stage.component
    return changed_values(before, stage.effective_parameters) if same else []


def changed_values(before: Mapping[str, Scalar], now: Mapping[str, Scalar]) -> list[str]:
    """One phrase for each value that differs."""
    return [
        f"params.{name} {word(before.get(name))} → {word(now.get(name))}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name) or type(before.get(name)) is not type(now.get(name))
    ]


def word(value: Scalar | None) -> str:
    """A parameter's value as it is written in a pipeline, text in quotes; "(none)" for none."""
    if value is None:
        return "(none)"
    return repr(value) if isinstance(value, str) else str(value).lower()


def _changed_inputs(
    stage: BoundStage, last: RunManifest, inputs: Mapping[str, str] | None
) -> list[str]:
    if inputs is None:
        return []
    before = {record.name: record.digest for record in last.inputs}
    if before.keys() != inputs.keys():
        return ["other needs: " + (", ".join(filter(None, inputs)) or "the source")]
    return [
        f"the source {name}".rstrip() + " changed"
        if not name or name in stage.sources
        else f"the output of {name} changed"
        for name in sorted(inputs)
        if before[name] != inputs[name]
    ]
