"""`doit diff`: two runs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

import msgspec

from daintree.commands.command import JSON_OPTION, DaintreeCommand, option, print_json
from daintree.errors import UsageError
from daintree.pipeline.addresses import find_run, parse_address, pipeline_of
from daintree.pipeline.run_diff import Change, FileChange, RunDifference, difference, number
from daintree.spec.component import word
from daintree.store.records import RunManifest, short_run
from daintree.store.store import Store, open_store
from daintree.terminal import columns, count, duration, one_line, size


def diff_lines(diff: RunDifference, *, patches: bool) -> list[str]:
    """The difference for reading: a heading for each kind that differs; with `patches` the component's files line by line."""
    first, second = short_run(diff.first), short_run(diff.second)
    lines = [f"{diff.stages[0]} {first} → {diff.stages[1]} {second}"]
    sections: dict[str, list[list[str]]] = {
        "run": [_row(change) for change in diff.facts],
        "parameters": [_row(change) for change in diff.parameters],
        "component files": [[change.path, change.change] for change in diff.files],
        "libraries": [[change.path, change.change] for change in diff.libraries],
        "locked packages": [_row(change) for change in diff.packages],
        "base image": [_row(change) for change in diff.bases],
        "inputs": [
            [change.name or "source", "differs: " + ("; ".join(change.causes) or "other bytes")]
            for change in diff.inputs
        ],
        "outputs": [_output_row(change) for change in diff.outputs],
        "metrics": [_metric_row(change) for change in diff.metrics],
    }
    for title, rows in sections.items():
        if rows:
            lines += [title, *columns(rows)]
    if any(change.name == "result" for change in diff.facts):
        lines.append("a run that failed has no output: outputs and metrics are not compared")
    if len(lines) == 1:
        one = diff.first == diff.second
        lines.append("both are this run" if one else "nothing differs but when they ran")
    before, after = diff.seconds
    lines.append(f"took {duration(before)} → {duration(after)}")
    if patches:
        for change in (*diff.files, *diff.libraries):
            lines += [one_line(line) for line in change.patch]
    return lines


def _row(change: Change) -> list[str]:
    return [change.name, f"{_value(change.before)} → {_value(change.after)}"]


def _value(value: object) -> str:
    if isinstance(value, str):
        return value or "-"
    return word(value) if isinstance(value, bool | int | float) else "-"


def _metric_row(change: Change) -> list[str]:
    before, after = change.before, change.after
    gained = ""
    if isinstance(before, int | float) and isinstance(after, int | float):
        gained = f" ({number(after - before, '+')})"
    return [change.name, f"{_value(before)} → {_value(after)}{gained}"]


def _output_row(change: FileChange) -> list[str]:
    sizes = [size(bytes) if bytes is not None else "-" for bytes in (change.before, change.after)]
    parts = [f"{sizes[0]} → {sizes[1]}"]
    if change.rows_before is not None and change.rows_after is not None:
        parts.append(f"{change.rows_before} → {count(change.rows_after, 'row')}")
    parts += [f"+{name}" for name in change.columns_added]
    parts += [f"-{name}" for name in change.columns_removed]
    return [change.path, change.change, ", ".join(parts)]


class Diff(DaintreeCommand):
    """Compares two runs: what went into them, what came out, and what before them differs."""

    doc_usage = "RUN RUN | PIPELINE:STAGE [--patch] [--json]"
    doc_description = (
        "RUN is a run id or its beginning, PIPELINE:STAGE its latest run, or PIPELINE[:STAGE]@NAME; PIPELINE:STAGE alone compares that stage's "
        "last two runs. Shown is what differs: parameters, the component's files, libraries, locked packages and base image, inputs down to the first "
        "stage that differs, output files (rows and columns of CSV), metrics, seconds."
    )
    cmd_options = (
        option(
            "patch", "print the changed files of the component line by line", type=bool, short="p"
        ),
        JSON_OPTION,
    )
    names = (1, 2)

    def work(self, options: Mapping[str, Any], names: list[str]) -> None:
        """Find both, compare and print."""
        store = open_store(self.settings)
        first, second = (
            self._last_two(store, names[0]) if len(names) == 1 else self._both(store, names)
        )
        diff = difference(store, self.settings, first, second)
        if options["json"]:
            print_json(msgspec.to_builtins(diff))
        else:
            print("\n".join(diff_lines(diff, patches=options["patch"])))

    def _both(self, store: Store, names: list[str]) -> list[RunManifest]:
        addresses = [parse_address(text, self.root) for text in names]
        return [find_run(store, each, pipeline_of(self.root, each)) for each in addresses]

    def _last_two(self, store: Store, text: str) -> list[RunManifest]:
        address = parse_address(text, self.root)
        if not address.stage or address.name:
            raise UsageError(
                f"doit diff {text}: with which run?",
                hint=f"doit diff {text} RUN, or PIPELINE:STAGE for its last two",
            )
        entries = islice(store.history(address.subject, address.stage), 2)
        runs = [store.read_run(entry.location) for entry in entries]
        last_two = [run for run in reversed(runs) if run is not None]
        if len(last_two) < 2:
            raise UsageError(
                f"{text} has no two runs to compare", hint=f"doit history {text} lists its runs"
            )
        return last_two
