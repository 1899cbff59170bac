"""Runs as pages show them: a table to filter and sort, one run with where it came from, the files of its output, bounded and verified, and numbers over time."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Literal

import msgspec

from daintree.spec.component import word
from daintree.store.records import FileEntry, HistoryEntry, RunManifest, short_run
from daintree.store.run_index import Condition, Query, RunIndex
from daintree.store.store import Store
from daintree.terminal import size

ROWS = 100
MOST_PARAMETERS, MOST_METRICS = 6, 4
LOG_HEAD, LOG_TAIL = 64, 200
LOG_HEAD_BYTES, LOG_TAIL_BYTES, CHECKED_LOG_BYTES = 16 << 10, 64 << 10, 8 << 20

# The words of a table's address; `where` has conditions such as `epochs=20` or `test.hr@10>=0.5`.
WORDS = ("stage", "result", "person", "commit", "since", "until", "where", "sort")
_CONDITION = re.compile(r"([^\s<>=!]+)\s*(<=|>=|!=|=|<|>)\s*(\S+)")


class RunTable(msgspec.Struct, frozen=True, kw_only=True):
    """The page of a table of runs: the words that chose it, the rows, the number that matches, and the columns that are worth showing.

    `unread` are words of `where` that are no condition.
    """

    words: Mapping[str, str]
    unread: tuple[str, ...]
    rows: Sequence[HistoryEntry]
    matching: int
    total: int
    page: int
    pages: int
    parameters: Sequence[str]
    metrics: Sequence[str]
    stages: Sequence[str]
    people: Sequence[str]


def run_table(index: RunIndex, pipeline: str, typed: Mapping[str, str]) -> RunTable:
    """The page of a pipeline's runs that typed words choose. Raises UsageError for an order that there is none of."""
    words = {name: typed.get(name, "").strip() for name in WORDS}
    words["sort"] = words["sort"] or "-time"
    page = int(number) if (number := typed.get("page", "")).isdecimal() and len(number) < 7 else 1
    query = Query(
        pipeline=pipeline,
        stage=words["stage"],
        result=words["result"],
        person=words["person"],
        commit=words["commit"].lower(),
        since=words["since"],
        until=words["until"],
        conditions=tuple(Condition(*match) for match in _CONDITION.findall(words["where"])),
        order=words["sort"].removeprefix("-"),
        descending=words["sort"].startswith("-"),
        limit=ROWS,
        offset=max(0, page - 1) * ROWS,
    )
    chosen = index.find(query)
    return RunTable(
        words=words,
        unread=tuple(_CONDITION.sub(" ", words["where"]).split()),
        rows=chosen.runs,
        matching=chosen.total,
        total=index.find(Query(pipeline=pipeline, limit=1)).total,
        page=page,
        pages=max(1, -(-chosen.total // ROWS)),
        parameters=index.varied_parameters(query)[:MOST_PARAMETERS],
        metrics=index.metrics(query)[:MOST_METRICS],
        stages=index.stages(pipeline),
        people=index.people(pipeline),
    )


def commands(run: RunManifest, *, collected: bool) -> list[tuple[str, str]]:
    """The commands that reopen a run, whose output may have been collected, each with its purpose before it."""
    target = f"{run.pipeline}:{run.stage}"
    rows = [("show it in a terminal", f"doit show {short_run(run.run)}")]
    if run.output and not collected:
        rows.append(
            ("copy its inputs and output out of the store", f"doit pull {short_run(run.run)}")
        )
    rows.append(("open its environment on what it read", f"doit shell {short_run(run.run)}"))
    if run.commit and not run.dirty:
        rows.append(("go to the files that it ran", f"git checkout {run.commit[:12]}"))
    rows.append(("see the runs of this stage", f"doit history {target}"))
    return rows


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """The first and the last lines of a run's log, the bytes left out between, and what is wrong with it ("": nothing)."""

    head: Sequence[str] = ()
    tail: Sequence[str] = ()
    left_out: int = 0
    fault: str = ""


def read_log(store: Store, run: RunManifest) -> Log:
    """The log of a run, bounded."""
    try:
        with store.open_log(run.location) as file:
            if not isinstance(file, io.BufferedReader):
                return Log(fault=f"its log.txt {file.text if file else 'is missing'}")
            length = file.seek(0, 2)
            file.seek(0)
            start = file.read(LOG_HEAD_BYTES)
            file.seek(max(len(start), length - LOG_TAIL_BYTES))
            end = file.read(LOG_TAIL_BYTES)
    except OSError:
        return Log(fault="its log.txt is missing")
    fault = store.log_fault(run) if length < CHECKED_LOG_BYTES else ""
    head, tail = _lines(start), _lines(end)
    if len(start) + len(end) == length:
        head = tail = _lines(start + end)
        if len(head) <= LOG_HEAD + LOG_TAIL:
            return Log(head=head, fault=fault)
    head, tail = head[:LOG_HEAD], tail[-LOG_TAIL:]
    shown = sum(len(line.encode("utf-8", "replace")) + 1 for line in [*head, *tail])
    return Log(head=head, tail=tail, left_out=max(0, length - shown), fault=fault)


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "replace").splitlines()


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a chart: its name, where it goes along and up, and a text for each point."""

    name: str
    x: tuple[float | str, ...]
    y: tuple[float, ...]
    text: tuple[str, ...] = ()


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """A chart: its title, the axis along, and its lines."""

    title: str
    along: str
    series: tuple[Series, ...]


def metric_charts(runs: Sequence[HistoryEntry], varied: Sequence[str]) -> list[Chart]:
    """A chart over time for each metric, with a line for each stage, oldest run first; points name the `varied` parameters.

    Metrics that have always been the same come last.
    """
    points: dict[str, dict[str, list[HistoryEntry]]] = {}
    for run in sorted(runs, key=lambda run: run.run):
        for name in run.metrics:
            points.setdefault(name, {}).setdefault(run.stage, []).append(run)
    charts = [
        Chart(
            title=name,
            along="time",
            series=tuple(
                Series(
                    name=stage,
                    x=tuple(run.finished for run in measured),
                    y=tuple(run.metrics[name] for run in measured),
                    text=tuple(_point(run, varied) for run in measured),
                )
                for stage, measured in sorted(stages.items())
            ),
        )
        for name, stages in sorted(points.items(), key=lambda item: (item[0].count("."), item[0]))
    ]
    return sorted(charts, key=lambda chart: all(len(set(line.y)) == 1 for line in chart.series))


def _point(run: HistoryEntry, varied: Sequence[str]) -> str:
    settings = [f"{n} {word(run.parameters[n])}" for n in varied if n in run.parameters]
    return ", ".join([short_run(run.run), *([run.commit[:8]] if run.commit else []), *settings])


def curve_charts(tables: Mapping[str, Mapping[str, Sequence[Sequence[float]]]]) -> list[Chart]:
    """Charts of tables that runs wrote: for each file and column one, with a line for each run.

    `tables` are by run, then by file and header, as `curve` joins them: the columns, the first of which goes along.
    """
    lines: dict[tuple[str, str, str], list[Series]] = {}
    for run, titles in tables.items():
        for title, columns in titles.items():
            file, along, *names = title.split("\n")
            for name, column in zip(names, columns[1:], strict=True):
                series = Series(name=short_run(run), x=tuple(columns[0]), y=tuple(column))
                lines.setdefault((file, along, name), []).append(series)
    return [
        Chart(title=f"{name} ({file})", along=along, series=tuple(series))
        for (file, along, name), series in sorted(lines.items(), key=lambda line: line[0][0])
    ]


HEAD_BYTES = 256 << 10
PICTURE_BYTES = 4 << 20
# The time that Markdown takes may grow with the square of its length.
MARKDOWN_BYTES = 32 << 10
TABLE_ROWS, TABLE_COLUMNS, CELL = 100, 40, 300
CURVE_BYTES, CURVE_ROWS, CURVE_COLUMNS = 1 << 20, 5000, 9

PICTURES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
}
_TABLES = {".csv": ",", ".tsv": "\t"}
_MARKDOWN = (".md", ".markdown")

Kind = Literal["table", "text", "picture", "markdown", "none"]


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """A file to look at: a table with its header first, text, a picture as a data URL, Markdown as clean HTML, or a note alone.

    `note` says what was left out, or why there is nothing to see.
    """

    kind: Kind
    table: tuple[tuple[str, ...], ...] = ()
    text: str = ""
    note: str = ""


def preview(store: Store, run: RunManifest, entry: FileEntry) -> Preview:
    """The preview of one file of a run's output. Raises ArtifactDamaged when its bytes are not the run's, StoreError."""
    suffix = PurePosixPath(entry.path).suffix.lower()
    if suffix in PICTURES and entry.size > PICTURE_BYTES:
        return Preview(kind="none", note=f"a picture of {size(entry.size)} is too large to show")
    most = MARKDOWN_BYTES if suffix in _MARKDOWN else HEAD_BYTES
    most = PICTURE_BYTES if suffix in PICTURES else most
    head = store.read_head(run, entry, most)
    if head is None:
        note = f"{size(entry.size)} would have to be fetched to verify it: `doit pull {run.pipeline}:{run.stage}`"
        return Preview(kind="none", note=note)
    if suffix in PICTURES:
        url = f"data:{PICTURES[suffix]};base64,{base64.b64encode(head).decode('ascii')}"
        return Preview(kind="picture", text=url)
    cut = len(head) < entry.size
    text = _decoded(head, cut)
    if text is None or "\0" in text:
        return Preview(kind="none", note="binary, or text in another encoding than UTF-8")
    note = f"the first {size(len(head))} of {size(entry.size)}" if cut else ""
    if suffix in _TABLES:
        return _table(text, cut, _TABLES[suffix])
    if suffix in _MARKDOWN:
        return Preview(kind="markdown", text=markdown(text), note=note)
    if suffix == ".json" and not cut:
        text = _indented(text)
    return Preview(kind="text", text=text, note=note)


def curve(store: Store, run: RunManifest, entry: FileEntry) -> tuple[str, list[list[float]]] | None:
    """The names of a small table's columns and its numbers, by column; None for a table that holds anything else, or whose first column does not rise."""
    if not entry.path.endswith(".csv") or entry.size > CURVE_BYTES:
        return None
    content = store.read_head(run, entry, CURVE_BYTES)
    try:
        rows = list(csv.reader(io.StringIO((content or b"").decode("utf-8"), newline="")))
        names, numbers = rows[0], [[float(cell) for cell in row] for row in rows[1:CURVE_ROWS]]
    except (ValueError, IndexError, csv.Error):
        return None
    if len(numbers) < 2 or not 2 <= len(names) <= CURVE_COLUMNS:
        return None
    if any(len(row) != len(names) for row in numbers):
        return None
    if any(later[0] <= earlier[0] for earlier, later in pairwise(numbers)):
        return None
    return "\n".join([entry.path, *names]), [list(column) for column in zip(*numbers, strict=True)]


def markdown(text: str) -> str:
    """Markdown as HTML that holds nothing but text, tables and links: no HTML of its author's, no picture of another site."""
    import nh3
    from markdown_it import MarkdownIt

    made = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).render(text)
    tags = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code"}
    tags |= {"em", "strong", "s", "a", "hr", "br", "table", "thead", "tbody", "tr", "th", "td"}
    clean = nh3.clean(
        made,
        tags=tags,
        attributes={"a": {"href", "title"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        url_relative="deny",
        link_rel="noopener noreferrer nofollow",
    )
    # What is scrolled sideways can be reached by keyboard.
    region = '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>'
    clean = clean.replace("<table>", region).replace("</table>", "</table></div>")
    return clean.replace("<pre>", '<pre tabindex="0">')


def _decoded(head: bytes, cut: bool) -> str | None:
    """The text, without a character that was cut in two; None where it is no UTF-8."""
    for back in range(4 if cut else 1):
        try:
            return head[: len(head) - back].decode("utf-8")
        except UnicodeDecodeError:
            continue
    return None


def _indented(text: str) -> str:
    """JSON with a line for each value, each as it was written; other text as it is."""
    try:
        return msgspec.json.format(text, indent=2)[:HEAD_BYTES]
    except (msgspec.DecodeError, RecursionError):
        return text


def _table(text: str, cut: bool, delimiter: str) -> Preview:
    """The first rows and columns; a last row that was cut is left out."""
    rows: list[Sequence[str]] = []
    whole = not cut
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            if len(rows) > TABLE_ROWS:
                whole = False
                break
            rows.append(row)
    except csv.Error as error:
        return Preview(kind="text", text=text, note=f"no table: {error}")
    if cut and rows and len(rows) <= TABLE_ROWS:
        rows.pop()
    widest = max((len(row) for row in rows), default=0)
    notes = []
    if not whole:
        notes.append(f"the first {max(0, len(rows) - 1)} rows")
    if widest > TABLE_COLUMNS:
        notes.append(f"the first {TABLE_COLUMNS} of {widest} columns")
    cells = tuple(
        tuple(cell if len(cell) <= CELL else cell[:CELL] + "…" for cell in row[:TABLE_COLUMNS])
        for row in rows
    )
    return Preview(kind="table", table=cells, note=", ".join(notes))


def data_url(store: Store, run: RunManifest, entry: FileEntry) -> str:
    """The whole file as a URL of its own, which a browser downloads and never opens. Raises ArtifactDamaged, StoreError."""
    content = base64.b64encode(b"".join(store.chunks(run, entry))).decode("ascii")
    return f"data:application/octet-stream;base64,{content}"
