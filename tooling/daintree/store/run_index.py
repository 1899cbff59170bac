"""Index of runs for looking: a disposable SQLite database on this machine, filled from the history of a store.

The history is the truth. The index holds a copy of each entry, to filter, sort and page by; an entry that has come since is added
when somebody looks, one that is gone is removed. A database that is damaged, of another version, or cannot be written is thrown away
or done without.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from daintree.digest import digest_record, short
from daintree.errors import UsageError
from daintree.store.records import HistoryEntry
from daintree.store.store import Store

Answer = TypeVar("Answer")

VERSION = 2
TOGETHER = 500
BUSY_SECONDS = 10.0
_SCHEMA = """
CREATE TABLE runs (
    path TEXT PRIMARY KEY, location TEXT, pipeline TEXT, stage TEXT, run TEXT, started TEXT, result TEXT, person TEXT,
    "commit" TEXT, seconds REAL, measured INTEGER
) WITHOUT ROWID;
CREATE INDEX by_time ON runs (pipeline, stage, started);
CREATE INDEX by_location ON runs (location);
CREATE TABLE entries (path TEXT PRIMARY KEY, entry BLOB) WITHOUT ROWID;
CREATE TABLE facts (path TEXT, kind TEXT, name TEXT, value, PRIMARY KEY (path, kind, name)) WITHOUT ROWID;
CREATE INDEX by_name ON facts (kind, name, value);
"""
_COLUMNS = {
    "time": "started",
    "result": "result",
    "person": "person",
    "commit": '"commit"',
    "seconds": "seconds",
    "stage": "stage",
}
_OPERATORS = ("=", "!=", "<", "<=", ">", ">=")


class Condition(NamedTuple):
    """A condition on a metric or parameter, such as ("test.hr@10", ">=", "0.1"): a number compares with its number, a text with its text."""

    name: str
    operator: str
    value: str

    @property
    def number(self) -> float | None:
        """The value as a number; true is 1, false 0, None any other word."""
        try:
            return float({"true": "1", "false": "0"}.get(self.value, self.value))
        except ValueError:
            return None


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Choice of runs: "" and () leave all in. `commit` is the beginning of one; `since` and `until` are times in UTC, ISO 8601, or their beginnings.

    `order` is time, result, person, commit, seconds, stage, `metric:NAME` or `parameter:NAME`; runs without a value come last, equal ones newest first.
    `limit` 0: all.
    """

    pipeline: str = ""
    stage: str = ""
    result: str = ""
    person: str = ""
    commit: str = ""
    since: str = ""
    until: str = ""
    measured: bool = False
    conditions: tuple[Condition, ...] = ()
    order: str = "time"
    descending: bool = True
    limit: int = 50
    offset: int = 0


class Page(NamedTuple):
    """Some of the runs that a query chooses, in its order, and the number of all that it chooses."""

    runs: list[HistoryEntry]
    total: int


class RunIndex:
    """The runs of a store, to be queried. Processes and threads may share the database; an object belongs to one thread.

    Every method raises StoreError as the store's history does.
    """

    def __init__(self, store: Store, caches: Path) -> None:
        """`caches` is the directory of this machine's caches."""
        self._store = store
        name = short(digest_record("run-index", 1, str(store.directory)))
        self._file: Path | None = caches / "_runs" / f"{name}.sqlite"
        self._database: sqlite3.Connection | None = None
        self._scopes: list[tuple[str, str]] = []

    def refresh(self, pipeline: str = "", stage: str = "", newest: int | None = None) -> int:
        """Take in what has come to the history of a stage, a pipeline or all since, of that the `newest` (None: all); the number of entries read."""
        self._scopes.append((pipeline, stage))
        records = self._store.records
        current = set(records.every_history_path(pipeline, stage))
        indexed = set(self._ask(lambda d: _paths(d, pipeline, stage)))
        gone = indexed - current
        fresh = iter(sorted(current - indexed, key=lambda path: path.split("/")[3:])[:newest])
        self._ask(lambda database: _remove(database, gone))
        count = 0
        while batch := list(islice(fresh, TOGETHER)):
            entries = [entry for entry in records.read_history(batch) if entry is not None]
            self._ask(partial(_add, entries=entries))
            count += len(entries)
        return count

    def find(self, query: Query) -> Page:
        """The runs that a query chooses, as the index knows them. Raises UsageError for an order or operator that there is none of."""
        where, values = _where(query)
        join, column, ordering = _order(query.order)
        select = f"SELECT runs.path AS path FROM runs {join} WHERE {where}"
        direction = "DESC" if query.descending else "ASC"
        select += f" ORDER BY {column} IS NULL, {column} {direction}, started DESC, runs.path"
        select += f" LIMIT {int(query.limit) or -1} OFFSET {int(query.offset)}"
        [(total,)] = self._rows(f"SELECT count(*) FROM runs WHERE {where}", values)
        return Page(self._entries(select, [*ordering, *values]), total)

    def at(self, location: str) -> HistoryEntry | None:
        """The entry of the run at a location of the store, as the index knows it."""
        return next(
            iter(self._entries("SELECT path FROM runs WHERE location = ?", [location])), None
        )

    def readers(self, pipeline: str, location: str) -> list[HistoryEntry]:
        """The runs of a pipeline that read the output of the run at a location, newest first."""
        select = (
            "SELECT path FROM runs JOIN entries USING (path) "
            "WHERE pipeline = ? AND instr(entry, ?) ORDER BY started DESC, path LIMIT -1"
        )
        entries = self._entries(select, [pipeline, location.encode()])
        return [e for e in entries if location in (i.origin for i in e.inputs if not i.is_source)]

    def latest(self, pipeline: str, most: int) -> dict[str, list[HistoryEntry]]:
        """The latest runs of each stage of a pipeline, at most so many of one, newest first, by stage."""
        select = (
            "SELECT path FROM (SELECT path, row_number() OVER (PARTITION BY stage ORDER BY path) AS place FROM runs "
            "WHERE pipeline = ?) WHERE place <= ? ORDER BY path LIMIT -1"
        )
        stages: dict[str, list[HistoryEntry]] = {}
        for entry in self._entries(select, [pipeline, most]):
            stages.setdefault(entry.stage, []).append(entry)
        return stages

    @property
    def is_lost(self) -> bool:
        """True when the database cannot be written: it is in memory, and each time it is filled anew."""
        return self._file is None

    def stages(self, pipeline: str) -> list[str]:
        return self._names(
            "SELECT DISTINCT stage FROM runs WHERE pipeline = ? ORDER BY 1", pipeline
        )

    def people(self, pipeline: str) -> list[str]:
        return self._names(
            "SELECT DISTINCT person FROM runs WHERE pipeline = ? ORDER BY 1", pipeline
        )

    def varied_parameters(self, query: Query) -> list[str]:
        """The names of parameters that do not have one value in all chosen runs of a stage, sorted."""
        where, values = _where(query)
        select = (
            f"SELECT name FROM facts JOIN runs USING (path) WHERE kind = 'parameter' AND {where} "
        )
        select += "GROUP BY stage, name HAVING count(DISTINCT value) > 1"
        return sorted(set(self._names(select, *values)))

    def metrics(self, query: Query) -> list[str]:
        """The names of the chosen runs' metrics: those that differ first, of these the least nested, then those that most runs have."""
        where, values = _where(query)
        select = "SELECT name, min(value) = max(value) FROM facts JOIN runs USING (path) "
        select += f"WHERE kind = 'metric' AND {where} GROUP BY name ORDER BY count(*) DESC, name"
        rows = self._rows(select, values)
        return [name for name, _ in sorted(rows, key=lambda row: (row[1], row[0].count(".")))]

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _rows(self, select: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        return self._ask(lambda database: database.execute(select, values).fetchall())

    def _names(self, select: str, *values: object) -> list[str]:
        return [name for (name,) in self._rows(select, values)]

    def _entries(self, select: str, values: Sequence[object]) -> list[HistoryEntry]:
        """The entries at the paths that a statement selects, in its order; one that sorts has a LIMIT, without which SQLite sorts no subquery."""
        joined = f"SELECT entry FROM ({select}) CROSS JOIN entries USING (path)"
        return [_decoder.decode(entry) for (entry,) in self._rows(joined, values)]

    def _ask(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """The answer of the database; where that is damaged, of a new one; where there can be none, of one in memory."""
        try:
            return question(self._open())
        except sqlite3.DatabaseError as error:
            if self._file is None:
                raise
            locked_or_full = isinstance(error, sqlite3.OperationalError) and "no such" not in str(
                error
            )
            self.close()
            if locked_or_full:
                self._file = None
            else:
                _throw_away(self._file)
        scopes, self._scopes = self._scopes, []
        for scope in scopes:
            self.refresh(*scope)
        return self._ask(question)

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            try:
                self._database = _connect(self._file)
            except (OSError, sqlite3.OperationalError):
                self._file = None
                self._database = _connect(None)
        return self._database


_decoder = msgspec.json.Decoder(HistoryEntry)
_encoder = msgspec.json.Encoder()


def _connect(file: Path | None) -> sqlite3.Connection:
    """The database in a file, made if it is missing, made anew if it is of another version. Raises OSError, sqlite3.DatabaseError."""
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(file or ":memory:", timeout=BUSY_SECONDS, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        with database:
            database.execute("BEGIN IMMEDIATE")
            [version] = database.execute("PRAGMA user_version").fetchone()
            if version != VERSION:
                for (name,) in database.execute(_TABLES).fetchall():
                    database.execute(f'DROP TABLE "{name}"')
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        database.close()
        raise
    return database


_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"


def _throw_away(file: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        with suppress(OSError):
            Path(f"{file}{suffix}").unlink()


def _paths(database: sqlite3.Connection, pipeline: str, stage: str) -> list[str]:
    where, values = _where(Query(pipeline=pipeline, stage=stage))
    return [path for (path,) in database.execute(f"SELECT path FROM runs WHERE {where}", values)]


def _remove(database: sqlite3.Connection, paths: Iterable[str]) -> None:
    rows = [(path,) for path in paths]
    if rows:
        with database:
            database.execute("BEGIN IMMEDIATE")
            for table in ("runs", "entries", "facts"):
                database.executemany(f"DELETE FROM {table} WHERE path = ?", rows)


def _add(database: sqlite3.Connection, entries: Sequence[HistoryEntry]) -> None:
    paths = [entry.path for entry in entries]
    rows = [
        (
            *(path, entry.location, entry.pipeline, entry.stage, entry.run, entry.started),
            *(entry.result, entry.user, entry.commit, entry.seconds, entry.measured),
        )
        for path, entry in zip(paths, entries, strict=True)
    ]
    contents = [(p, _encoder.encode(entry)) for p, entry in zip(paths, entries, strict=True)]
    facts = [
        (path, kind, name, value if _fits(value) else str(value))
        for path, entry in zip(paths, entries, strict=True)
        for kind, values in (("metric", entry.metrics), ("parameter", entry.parameters))
        for name, value in values.items()
    ]
    with database:
        database.execute("BEGIN IMMEDIATE")
        marks = ", ".join("?" * 11)
        database.executemany(f"INSERT OR REPLACE INTO runs VALUES ({marks})", rows)
        database.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?)", contents)
        database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", facts)


def _fits(value: object) -> bool:
    """False for a whole number of more than 64 bits, which SQLite does not hold."""
    return not isinstance(value, int) or -(1 << 63) <= value < 1 << 63


def _where(query: Query) -> tuple[str, list[float | str | None]]:
    """The condition of a query, and the values of its marks."""
    parts, values = ["1"], list[float | str | None]()
    for column in ("pipeline", "stage", "result", "person"):
        if value := getattr(query, column):
            parts.append(f"{column} = ?")
            values.append(value)
    if query.commit:
        parts.append('substr("commit", 1, ?) = ?')
        values += [len(query.commit), query.commit]
    if query.since:
        parts.append("started >= ?")
        values.append(query.since)
    if query.until:
        parts.append("substr(started, 1, ?) <= ?")
        values += [len(query.until), query.until]
    if query.measured:
        parts.append("measured")
    for condition in query.conditions:
        if condition.operator not in _OPERATORS:
            raise UsageError(f"there is no operator {condition.operator!r}")
        # A number is less than any text in SQLite.
        compared = f"iif(typeof(value) = 'text', value {condition.operator} ?, value {condition.operator} ?)"
        parts.append(
            f"EXISTS (SELECT 1 FROM facts WHERE facts.path = runs.path AND ? IN (name, stage || '.' || name) AND {compared})"
        )
        values += [condition.name, condition.value, condition.number]
    return " AND ".join(parts), values


def _order(order: str) -> tuple[str, str, list[str]]:
    """The table that an order needs joined ("" for none), the column, and the values of its marks. Raises UsageError for an unknown order."""
    if order in _COLUMNS:
        return "", _COLUMNS[order], []
    kind, colon, name = order.partition(":")
    if not colon or kind not in ("metric", "parameter"):
        raise UsageError(f"there is no order {order!r}", hint=", ".join(_COLUMNS))
    join = "LEFT JOIN facts AS ordering ON ordering.path = runs.path AND ordering.kind = ? AND ordering.name = ?"
    return join, "ordering.value", [kind, name]


def opened(store: Store, caches: Path) -> closing[RunIndex]:
    """The index of a store, for a `with` statement."""
    return closing(RunIndex(store, caches))
