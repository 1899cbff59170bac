"""Differences of two runs: what went into them, what came out, and the first stages before them that differ.

`compare` is pure; `difference` reads what it needs: from the store, from git by the ids of files, from snapshots.
"""

from __future__ import annotations

import codecs
import csv
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePath

import msgspec

from daintree.components.git import Blobs, attempt
from daintree.errors import DaintreeError, GitError
from daintree.pipeline.reasons import differing, first_causes
from daintree.settings import Settings
from daintree.spec.component import Scalar, read_component
from daintree.store.records import METRICS, FileEntry, RunManifest, numbers_in
from daintree.store.store import Store

# A larger file is compared by its digest alone.
MOST_TEXT_BYTES = 1 << 20
MOST_TABLE_BYTES = 64 << 20
MOST_PATCH_LINES = 400
_DIFF = (
    "--no-index",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--no-prefix",
    "--no-renames",
)

_PACKAGE = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)
_BASE = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)", re.MULTILINE | re.IGNORECASE)


class Change(msgspec.Struct, frozen=True):
    """A value of the first run and of the second; None where it has none."""

    name: str
    before: Scalar | None
    after: Scalar | None


class FileChange(msgspec.Struct, frozen=True, kw_only=True):
    """A file that differs: bytes in each run (None: it is not there, or its size is not known); of a CSV its columns and rows.

    `patch` is the difference line by line, where both texts are known.
    """

    path: str
    change: str
    before: int | None = None
    after: int | None = None
    columns_added: tuple[str, ...] = ()
    columns_removed: tuple[str, ...] = ()
    rows_before: int | None = None
    rows_after: int | None = None
    patch: tuple[str, ...] = ()


class InputChange(msgspec.Struct, frozen=True):
    """An input whose bytes differ. `causes` are the first stages that differ on the way to it, each with its reasons."""

    name: str
    before: str
    after: str
    causes: tuple[str, ...] = ()


class RunDifference(msgspec.Struct, frozen=True, kw_only=True):
    """All in which two runs differ; what is equal is empty. `facts` are result, component, version, environment, image, runner, commit and person."""

    first: str
    second: str
    stages: tuple[str, str]
    facts: tuple[Change, ...] = ()
    parameters: tuple[Change, ...] = ()
    files: tuple[FileChange, ...] = ()
    libraries: tuple[FileChange, ...] = ()
    packages: tuple[Change, ...] = ()
    bases: tuple[Change, ...] = ()
    inputs: tuple[InputChange, ...] = ()
    outputs: tuple[FileChange, ...] = ()
    metrics: tuple[Change, ...] = ()
    seconds: tuple[float, float] = (0.0, 0.0)
    peak_memory: tuple[int, int] = (0, 0)


class Table(msgspec.Struct, frozen=True):
    """The columns of a CSV and the number of its rows."""

    columns: tuple[str, ...]
    rows: int


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Contents that a comparison rests on, as far as they are known: of each run's component files (path → text), their differences, CSVs and metrics.

    `causes` are the first stages that differ, by input.
    """

    texts: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})
    patches: Mapping[str, tuple[str, ...]] = {}
    tables: tuple[Mapping[str, Table], Mapping[str, Table]] = ({}, {})
    metrics: tuple[Mapping[str, float], Mapping[str, float]] = ({}, {})
    causes: Mapping[str, tuple[str, ...]] = {}


_FACTS = ("result", "component", "version", "environment", "image", "runner", "commit", "user")


def compare(first: RunManifest, second: RunManifest, evidence: Evidence) -> RunDifference:
    """All in which two runs differ."""
    texts = evidence.texts
    sources = _source_changes(first, second, evidence.patches)
    names = {name for text in texts for name in _library_names(text)}
    libraries = [change for change in sources if change.path.partition("/")[0] in names]
    lock, base = "requirements.txt", "Dockerfile"
    # A run that failed has deleted nothing.
    whole = first.output and second.output
    digests = [{record.name: record.digest for record in run.inputs} for run in (first, second)]
    return RunDifference(
        first=first.run,
        second=second.run,
        stages=(f"{first.pipeline}:{first.stage}", f"{second.pipeline}:{second.stage}"),
        facts=_changes(*({name: getattr(run, name) for name in _FACTS} for run in (first, second))),
        parameters=_changes(first.parameters, second.parameters),
        files=tuple(change for change in sources if change not in libraries),
        libraries=tuple(libraries),
        packages=_changes(*(dict(_PACKAGE.findall(text.get(lock, ""))) for text in texts)),
        bases=_changes(*(_bases(text.get(base, "")) for text in texts)),
        inputs=tuple(
            InputChange(name, before, after, evidence.causes.get(name, ()))
            for name in sorted(digests[0].keys() | digests[1].keys())
            if (before := digests[0].get(name, "")) != (after := digests[1].get(name, ""))
        ),
        outputs=_output_changes(first, second, evidence.tables) if whole else (),
        metrics=tuple(c for c in _changes(*evidence.metrics) if c.before != c.after)
        if whole
        else (),
        seconds=(first.seconds, second.seconds),
        peak_memory=(first.peak_memory, second.peak_memory),
    )


def difference(
    store: Store, settings: Settings, first: RunManifest, second: RunManifest
) -> RunDifference:
    """All in which two runs of the store differ. What cannot be read is compared by its digest alone; of outputs in a bucket single files are fetched."""
    before, after = first.version_files, second.version_files
    described = {p for p in (*before, *after) if PurePath(p).name == "component.yaml"}
    compared = described.union(differing(before, after))
    texts = (
        _component_texts(first, settings, compared),
        _component_texts(second, settings, compared),
    )
    outputs = (_output_files(first), _output_files(second))
    tables = {
        path
        for path in outputs[0].keys() & outputs[1].keys()
        if path.lower().endswith(".csv") and outputs[0][path].sha256 != outputs[1][path].sha256
    }
    return compare(
        first,
        second,
        Evidence(
            texts=texts,
            patches=patches_of(*texts),
            tables=(_tables(store, first, tables), _tables(store, second, tables)),
            metrics=(_metrics(store, first), _metrics(store, second)),
            causes=first_causes(store, first, second),
        ),
    )


def number(value: float, sign: str = "") -> str:
    """A metric with six digits, a whole one with all of those that it has; a `sign` of "+" shows that of any."""
    whole = float(value).is_integer() and abs(value) < 1e16
    return f"{value:{sign}.0f}" if whole else f"{value:{sign}.6g}"


def _changes(before: Mapping[str, Scalar], after: Mapping[str, Scalar]) -> tuple[Change, ...]:
    return tuple(
        Change(name, before.get(name), after.get(name)) for name in differing(before, after)
    )


def _bases(dockerfile: str) -> dict[str, str]:
    """The images of FROM, by their place."""
    images = _BASE.findall(dockerfile)
    return {
        f"FROM {number}" if len(images) > 1 else "FROM": i for number, i in enumerate(images, 1)
    }


def _source_changes(
    first: RunManifest, second: RunManifest, patches: Mapping[str, tuple[str, ...]]
) -> list[FileChange]:
    before, after = first.version_files, second.version_files
    return [
        FileChange(
            path=path, change=_change(path in before, path in after), patch=patches.get(path, ())
        )
        for path in differing(before, after)
    ]


def _change(was: bool, stays: bool) -> str:
    return "changed" if was and stays else "added" if stays else "deleted"


def patches_of(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """git's difference of each file (path → text) that differs, line by line, bounded; nothing where git is missing."""
    paths = differing(before, after)
    with tempfile.TemporaryDirectory(prefix="daintree-") as name:
        for side, texts in (("a", before), ("b", after)):
            directory = Path(name, side)
            directory.mkdir()
            for number, path in enumerate(paths):
                # A path of a record never becomes a path of the disk.
                if path in texts:
                    (directory / str(number)).write_bytes(texts[path].encode())
        try:
            output = attempt(Path(name), "diff", *_DIFF, "a", "b").stdout.decode("utf-8", "replace")
        except GitError:
            return {}
    parts = re.split(r"^diff --git [ab]/(\d+) .*\n", output, flags=re.MULTILINE)
    return {
        paths[int(number)]: _patch(paths[int(number)], part)
        for number, part in zip(parts[1::2], parts[2::2], strict=True)
    }


def _patch(path: str, part: str) -> tuple[str, ...]:
    """The lines of git's difference of one file under the file's own name."""
    _, hunk, rest = part.partition("\n@@")
    lines = f"--- a/{path}\n+++ b/{path}{hunk}{rest}".removesuffix("\n").split("\n")
    if len(lines) > MOST_PATCH_LINES:
        lines[MOST_PATCH_LINES:] = [f"… {len(lines) - MOST_PATCH_LINES} lines more"]
    return tuple(lines)


def _output_changes(
    first: RunManifest, second: RunManifest, tables: tuple[Mapping[str, Table], Mapping[str, Table]]
) -> tuple[FileChange, ...]:
    before, after = _output_files(first), _output_files(second)
    changes = []
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old and new and old.sha256 == new.sha256:
            continue
        change = FileChange(
            path=path,
            change=_change(path in before, path in after),
            before=old.size if old else None,
            after=new.size if new else None,
        )
        first_table, second_table = (table.get(path) for table in tables)
        if first_table and second_table:
            columns = first_table.columns, second_table.columns
            change = msgspec.structs.replace(
                change,
                columns_added=tuple(name for name in columns[1] if name not in columns[0]),
                columns_removed=tuple(name for name in columns[0] if name not in columns[1]),
                rows_before=first_table.rows,
                rows_after=second_table.rows,
            )
        changes.append(change)
    return tuple(changes)


def _output_files(run: RunManifest) -> dict[str, FileEntry]:
    return {entry.path: entry for entry in run.output.files} if run.output else {}


def _library_names(texts: Mapping[str, str]) -> set[str]:
    """The directories of the libraries that a component uses, and that these use, by the texts of their component.yaml."""
    names: set[str] = set()
    for path, text in texts.items():
        if PurePath(path).name == "component.yaml":
            with suppress(DaintreeError):
                uses = read_component(text.encode(), path).uses
                names |= {PurePath(library).name for library in uses}
    return names


def _component_texts(run: RunManifest, settings: Settings, paths: Iterable[str]) -> dict[str, str]:
    """The texts of a run's component files, from git by their ids, else from the snapshot; of those that are there and no larger than is read."""
    snapshot = settings.snapshots / run.version.removeprefix("sha256:")
    blobs = None
    with suppress(GitError):
        blobs = Blobs(settings.root, {})
    texts: dict[str, str] = {}
    for path in run.version_files.keys() & set(paths):
        content = None
        with suppress(KeyError, ValueError):
            content = blobs.read(run.version_files[path].split()[1]) if blobs else None
        if content is None:
            with suppress(OSError, ValueError):
                file = snapshot / path
                if file.resolve().is_relative_to(snapshot.resolve()):
                    content = file.read_bytes()
        if content is not None and len(content) <= MOST_TEXT_BYTES and b"\0" not in content:
            texts[path] = content.decode("utf-8", "replace")
    return texts


def _tables(store: Store, run: RunManifest, paths: Collection[str]) -> dict[str, Table]:
    """The shapes of CSVs in a run's output; of those that can be read and are no larger than is read."""
    tables, files = {}, _output_files(run)
    for path in paths:
        if files[path].size <= MOST_TABLE_BYTES:
            with suppress(DaintreeError, OSError, csv.Error, StopIteration):
                reader = csv.reader(_lines(store.chunks(run, files[path])))
                tables[path] = Table(tuple(next(reader)), sum(1 for row in reader if row))
    return tables


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """The lines of a text that comes in pieces."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + decoder.decode(piece)).split("\n")
        yield from (f"{line}\n" for line in lines)
        if len(rest) > MOST_TEXT_BYTES:
            raise csv.Error("a line is too long")
    yield rest + decoder.decode(b"", final=True)


def _metrics(store: Store, run: RunManifest) -> dict[str, float]:
    with suppress(KeyError, DaintreeError, OSError, ValueError):
        return numbers_in(b"".join(store.chunks(run, _output_files(run)[METRICS])))
    return {}
