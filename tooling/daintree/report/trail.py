"""Past runs: a table of many, a page of one, both as JSON too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from daintree.digest import short
from daintree.manifest import RunManifest
from daintree.reason import word
from daintree.report.text import columns, count, duration, size
from daintree.store.protocol import Store
from daintree.store.records import LOG

MOST_LOG_LINES = 200


def history_table(runs: Sequence[RunManifest]) -> list[str]:
    """One row per run, with the parameters in which the runs of one stage differ."""
    head = ["run", "stage", "result", "took", "by", "commit", "version", "parameters", "reason"]
    varied = _varied(runs)
    rows = [
        [
            run.run,
            f"{run.pipeline}:{run.stage}",
            "ok" if run.result == "succeeded" else "FAILED",
            duration(run.seconds),
            f"{run.user}@{run.host}",
            _commit(run),
            short(run.version, 8),
            _parameters(run, varied[run.pipeline, run.stage]),
            run.failure or run.reason,
        ]
        for run in runs
    ]
    return columns([head, *rows], indent="")


def _varied(runs: Sequence[RunManifest]) -> dict[tuple[str, str], list[str]]:
    """For each stage the parameters that do not have one value in all its runs, sorted."""
    values: dict[tuple[str, str], dict[str, set[str]]] = {}
    for run in runs:
        seen = values.setdefault((run.pipeline, run.stage), {})
        for name, value in run.parameters.items():
            seen.setdefault(name, set()).add(word(value))
    return {
        stage: sorted(name for name, words in seen.items() if len(words) > 1)
        for stage, seen in values.items()
    }


def _parameters(run: RunManifest, names: Sequence[str]) -> str:
    given = [f"{name}={word(run.parameters[name])}" for name in names if name in run.parameters]
    return " ".join(given) or "-"


def _commit(run: RunManifest) -> str:
    return (run.commit[:8] + ("+" if run.dirty else "")) or "-"


def run_as_json(run: RunManifest, store: Store, *, brief: bool) -> dict[str, Any]:
    """The run's manifest with the paths of its output and log; `brief` leaves lists of files out."""
    table: dict[str, Any] = {
        name: msgspec.to_builtins(getattr(run, name)) for name in run.__struct_fields__
    }
    if brief:
        table.pop("version_files")
        if run.output:
            table["output"] = {
                "digest": run.output.digest,
                "count": len(run.output.files),
                "bytes": run.output.bytes,
            }
    table["path"] = store.address(run.location) if run.output else None
    table["log"] = store.address(run.location, LOG)
    return table


def run_page(run: RunManifest, store: Store) -> list[str]:
    """Everything about one run, for reading."""
    facts = [
        ["run", run.run],
        ["stage", f"{run.pipeline}:{run.stage}"],
        ["result", "succeeded" if run.result == "succeeded" else f"failed: it {run.failure}"],
        ["why", run.reason],
        ["when", f"{run.started} to {run.finished} ({duration(run.seconds)})"],
        ["where", f"{run.host}, runner {run.runner}, {run.environment}"],
        ["by", run.user or "-"],
        ["commit", (run.commit or "-") + (" with changes on top" if run.dirty else "")],
        ["component", f"{run.component} at {run.version}"],
        ["memory", size(run.peak_memory) if run.peak_memory else "-"],
        *([["image", run.image]] if run.image else []),
        ["recipe key", run.keys.recipe],
        ["content key", run.keys.content],
    ]
    lines = columns(facts, indent="")
    lines += ["parameters", *columns([[n, word(v)] for n, v in sorted(run.parameters.items())])]
    lines += ["inputs", *columns([[i.name or "source", i.digest, i.origin] for i in run.inputs])]
    if run.output:
        what = f"{count(len(run.output.files), 'file')}, {size(run.output.bytes)}"
        lines += [f"output {run.output.digest} ({what})", f"  {store.address(run.location)}"]
        lines += columns([[e.path, size(e.size), e.sha256] for e in run.output.files])
    return lines + _log(run, store)


def _log(run: RunManifest, store: Store) -> list[str]:
    path = store.log_path(run.location)
    try:
        said = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return [f"log (missing: {path})"]
    lines = [f"log {path}"]
    if len(said) > MOST_LOG_LINES:
        lines.append(f"  … {len(said) - MOST_LOG_LINES} lines before these")
    return lines + [f"  {line}" for line in said[-MOST_LOG_LINES:]]
