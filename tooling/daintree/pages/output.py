"""Files of an output as pages show them: tables, JSON, text, pictures and Markdown, bounded; one file at a time, verified."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Literal

import msgspec

from daintree.store.output_file import chunks, read_head
from daintree.store.records import FileEntry, RunManifest
from daintree.store.store import Store
from daintree.terminal import size

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
    head = read_head(store, run, entry, most)
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
    content = read_head(store, run, entry, CURVE_BYTES)
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
    content = base64.b64encode(b"".join(chunks(store, run, entry))).decode("ascii")
    return f"data:application/octet-stream;base64,{content}"
