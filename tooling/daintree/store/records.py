"""Records of a store: their types, the one encoder and the one reader.

A record is a JSON object in one line, keys sorted. It begins with a `checksum`: the SHA-256 of its path in the store and of all
other bytes. So the reader refuses a record of which one byte is wrong, and one that was moved to another path. This envelope
is the same in every schema.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

import msgspec

from daintree.digest import Plain, digest_record
from daintree.errors import StoreError
from daintree.spec.component import Scalar
from daintree.store.backend import Content, Unreadable
from daintree.store.layout import LOG, check_location, history_path, run_path, sketch_of

SCHEMA = 2
# A list of 100,000 runs asks for each entry: they are kept small.
HISTORY_BYTES = 8 << 10
SHORTENED_TEXT = 300
METRICS = "metrics.json"


class FileEntry(msgspec.Struct, frozen=True):
    """One file of an artifact: its path below the artifact (`/` between segments), bytes, and SHA-256 (64 hex)."""

    path: str
    size: int
    sha256: str


class Artifact(msgspec.Struct, frozen=True):
    """A directory that a run read or wrote: its digest and its files, sorted by path."""

    digest: str
    files: tuple[FileEntry, ...]

    @property
    def bytes(self) -> int:
        """The sum of the files' sizes."""
        return sum(entry.size for entry in self.files)


def artifact_of(files: Iterable[FileEntry]) -> Artifact:
    """The artifact made of these files: sorted by path, its digest over (path, size, SHA-256) of each."""
    ordered = tuple(sorted(files, key=lambda entry: entry.path))
    records: Plain = [[entry.path, entry.size, entry.sha256] for entry in ordered]
    return Artifact(digest_record("artifact", 1, records), ordered)


class InputRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input of a run: the name of the need or of the `source` ("" for a pipeline's only one), its digest, and where it was read from.

    `origin` is a run's location in the store, or the source as the user wrote it, without credentials; `final_origin` the URL that the source's
    server redirected to, without its query, or the location of the run that a name led to; "" where there is none.
    """

    name: str
    digest: str
    origin: str
    final_origin: str = ""
    source: bool = False

    @property
    def is_source(self) -> bool:
        """True where a source was read, False for a run's output."""
        return self.source or not self.name

    @property
    def label(self) -> str:
        """The input's name, for people."""
        return f"source {self.name}".rstrip() if self.is_source else self.name


class Keys(msgspec.Struct, frozen=True):
    """The two stage keys a run's output is found under."""

    recipe: str
    content: str


class _Described(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag=""
):
    """Fields that a run record and its history entry share."""

    # By a factory, so that it is written though it is the default: readers of an older schema must see it.
    schema: int = msgspec.field(default_factory=lambda: SCHEMA)
    run: str
    location: str
    pipeline: str
    stage: str
    component: str
    version: str
    parameters: dict[str, Scalar] = {}
    ineffective: tuple[str, ...] = ()
    environment: str
    runner: str
    image: str = ""
    keys: Keys
    inputs: tuple[InputRecord, ...] = ()
    refresh: str = ""
    result: Literal["succeeded", "failed"]
    failure: str = ""
    reason: str = ""
    started: str
    finished: str
    seconds: float
    pod_seconds: float = 0
    exit_code: int = 0
    peak_memory: int = 0
    user: str = ""
    host: str = ""
    workflow: str = ""
    pod: str = ""
    project: str = ""
    commit: str = ""
    dirty: bool = False
    tooling: str = ""
    python: str = ""

    @property
    def effective_parameters(self) -> dict[str, Scalar]:
        """The parameters that are part of the keys."""
        return {n: value for n, value in self.parameters.items() if n not in self.ineffective}


class RunManifest(_Described, frozen=True, kw_only=True, omit_defaults=True, tag="run"):
    """`run.json`: what ran, on what, when, why, with what result. Times are UTC, ISO 8601, to the second.

    `run` is the run id, `location` its place in the store, `project` whose it is. A failed run has no output and is in no index.
    `parameters` are all the stage's parameters; `ineffective` names those that stay out of the key.
    `image` is the digest of the image it ran in, as the registry says, else the image's id ("" for none).
    `seconds` is the stage's own wall time, `pod_seconds` that of its pod in a cluster (0: none), `peak_memory` bytes of resident memory at most (0: not known).
    `host` is the machine, a cluster's node; `workflow` and `pod` name what ran it there ("": none).
    `env` names the variables that the component asked for; `log` describes `log.txt`.
    """

    env: tuple[str, ...] = ()
    version_files: dict[str, str] = {}
    output: Artifact | None = None
    log: FileEntry | None = None


class OutputSummary(msgspec.Struct, frozen=True):
    """An output without its list of files."""

    digest: str
    count: int
    bytes: int


class HistoryEntry(_Described, frozen=True, kw_only=True, omit_defaults=True, tag="history"):
    """Summary of a run, at most 8 KiB, so that a list of runs needs no run record.

    `record` is the SHA-256 of the run's run.json, `sketch` that of what it was computed from ("": it failed). `metrics` are the numbers of `metrics.json` in its output, which `measured` says it has. `abridged`: the run record holds more
    parameters, inputs, metrics or text.
    """

    record: str
    sketch: str = ""
    output: OutputSummary | None = None
    measured: bool = False
    metrics: dict[str, int | float] = {}
    abridged: bool = False

    @property
    def path(self) -> str:
        """The path of the entry in the store."""
        return history_path(self.pipeline, self.stage, self.run, self.started, self.sketch)


class IndexRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="index"):
    """The run that a stage key leads to, and what a listing of its output must agree with.

    `content` is the content key under which the run was computed, `record` the SHA-256 of its run.json and `record_bytes` the size of that.
    `digest`, `count` and `bytes` describe the output; `inputs` are the digests the run read, by need
    ("" for a source); `seconds` is what computing it took; `run` makes the record unique.
    """

    schema: int = SCHEMA
    run: str
    location: str
    content: str
    record: str
    record_bytes: int
    digest: str
    count: int
    bytes: int
    inputs: dict[str, str]
    seconds: float


class Tombstone(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="tombstone"):
    """Stands in the place of an index record whose output was collected: when (UTC, ISO 8601) and by whom."""

    schema: int = SCHEMA
    retired: IndexRecord
    when: str
    by: str


class CollectedRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="collected"):
    """Tells when (UTC, ISO 8601) and by whom an output was collected; in the place of `source.json` a source."""

    schema: int = SCHEMA
    when: str
    by: str


class NamedRun(msgspec.Struct, frozen=True):
    """The run of a stage that has a name: its id, place and output, and the SHA-256 of its run.json; `content` is its content key."""

    run: str
    location: str
    content: str
    digest: str
    record: str


class NameChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A move of a name: when (UTC, ISO 8601), by whom, why, and the ids of its runs afterwards, by stage (none: it was removed)."""

    when: str
    by: str
    note: str = ""
    runs: dict[str, str] = {}


class NameRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="name"):
    """A name of runs of one pipeline, by stage; `changes` are its moves, the latest last. A name without runs was removed.

    The runs are roots: what they put out is kept.
    """

    schema: int = SCHEMA
    pipeline: str
    name: str
    runs: dict[str, NamedRun] = {}
    changes: tuple[NameChange, ...] = ()


class SourceRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="source"):
    """`source.json`: the files of a source."""

    schema: int = SCHEMA
    artifact: Artifact


class NoteRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="note"):
    """A small record of a source, such as the validators of a URL; base64 in JSON."""

    schema: int = SCHEMA
    content: bytes


class DamageRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="damage"):
    """A file of a run in the bucket that was found wrong when its bytes were fetched: no listing shows it."""

    schema: int = SCHEMA
    file: str
    problem: Literal["missing", "damaged"]


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Stage that is being computed under a lease: on which content key, by whom, since when (UTC, ISO 8601)."""

    pipeline: str
    stage: str
    key: str
    user: str
    host: str
    since: str


class LeaseRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="lease"):
    """The holder of a lease (`nonce`, and which machine's cache), for so many seconds after it last changed; 0: nobody."""

    schema: int = SCHEMA
    nonce: str
    machine: str
    seconds: float
    renewal: int = 0
    holder: Holder | msgspec.UnsetType = msgspec.UNSET


class OriginRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="origin"):
    """`origin.json` in a cache: where a run came from.

    `computed` here for the `address` (the digest of server, bucket and prefix); by a `writer` of it, by a `reader`, or by who could not tell.
    `key` is the fingerprint of the access key in use, "" for a role's.
    """

    schema: int = SCHEMA
    computed: bool
    right: Literal["writer", "reader", "unknown"]
    key: str
    address: str | msgspec.UnsetType = msgspec.UNSET


_NONCE = r"\d{8}T\d+Z-([0-9a-f]{8})"


def short_run(run: str) -> str:
    """A run's id as people type it: its nonce, which `Store.find_run` takes too; an id of another form whole."""
    match = re.fullmatch(_NONCE, run)
    return match[1] if match else run


def run_record_digest(manifest: RunManifest) -> str:
    """The SHA-256 of the bytes of a run's run.json."""
    return hashlib.sha256(encode(manifest, run_path(manifest.location))).hexdigest()


def index_record_of(manifest: RunManifest) -> IndexRecord:
    """The index record of a run that succeeded. Raises ValueError for one that did not."""
    if manifest.output is None:
        raise ValueError(f"run {manifest.run} has no output")
    content = encode(manifest, run_path(manifest.location))
    return IndexRecord(
        run=manifest.run,
        location=manifest.location,
        content=manifest.keys.content,
        record=hashlib.sha256(content).hexdigest(),
        record_bytes=len(content),
        digest=manifest.output.digest,
        count=len(manifest.output.files),
        bytes=manifest.output.bytes,
        inputs={record.name: record.digest for record in manifest.inputs},
        seconds=manifest.seconds,
    )


def named_run_of(manifest: RunManifest) -> NamedRun:
    """The named form of a run that succeeded. Raises ValueError for one that did not."""
    record = index_record_of(manifest)
    return NamedRun(record.run, record.location, record.content, record.digest, record.record)


def history_entry_of(manifest: RunManifest, metrics: Mapping[str, float]) -> HistoryEntry:
    """The history entry of a run; what does not fit is left out, the longest first."""
    shared = {name: getattr(manifest, name) for name in _Described.__struct_fields__}
    output = manifest.output
    entry = HistoryEntry(
        **shared,
        record=run_record_digest(manifest),
        sketch=sketch_of(
            manifest.version,
            manifest.environment,
            manifest.effective_parameters,
            {each.name: each.digest for each in manifest.inputs},
        )
        if output
        else "",
        output=OutputSummary(output.digest, len(output.files), output.bytes) if output else None,
        measured=output is not None and any(entry.path == METRICS for entry in output.files),
        metrics=dict(metrics),
    )
    shorter: dict[str, Any] = {
        "metrics": dict(list(entry.metrics.items())[:20]),
        "inputs": (),
        "parameters": {n: v for n, v in entry.parameters.items() if len(str(v)) < SHORTENED_TEXT},
        "reason": entry.reason[:SHORTENED_TEXT],
        "failure": entry.failure[:SHORTENED_TEXT],
        "ineffective": (),
    }
    for name, value in [*shorter.items(), ("parameters", {}), ("metrics", {})]:
        if len(encode(entry, entry.path)) <= HISTORY_BYTES:
            break
        entry = msgspec.structs.replace(entry, **{name: value}, abridged=True)
    return entry


def log_entry(content: bytes) -> FileEntry:
    """The description of a log with these bytes."""
    return FileEntry(LOG, len(content), hashlib.sha256(content).hexdigest())


def numbers_in(content: bytes) -> dict[str, float]:
    """The numbers of a JSON object, by dotted names such as `test.hr@10`; lists and other values are left out.

    Raises ValueError when it is no JSON object or a number is too large.
    """
    try:
        return _flat(msgspec.json.decode(content, type=dict[str, Any]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise ValueError(f"not a JSON object with numbers of usual size: {error}") from None


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in sorted(table.items()):
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            float(value)  # Fails for one that is too large.
            flat[prefix + name] = value
    return flat


_Record = TypeVar("_Record")

_encoder = msgspec.json.Encoder(order="sorted")
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_decoder_lock = threading.Lock()

_OPENING = b'{"checksum":"'
_BODY = len(_OPENING) + 64 + len(b'",')


class _Written(msgspec.Struct):
    """The only field of a record that every schema has."""

    schema: int


def encode(record: msgspec.Struct, path: str) -> bytes:
    """The bytes of a record that is kept at `path` in the store."""
    body = _encoder.encode(record) + b"\n"
    return b'%s%s",%s' % (_OPENING, _checksum(path, body[1:]), body[1:])


def decode(kind: type[_Record] | Any, content: Content, path: str) -> _Record | Unreadable | None:
    """The record in the content of `path`; Unreadable, with the reason, when it is not whole, of another kind or schema."""
    if content is None or isinstance(content, Unreadable):
        return content
    body = content[_BODY:]
    is_whole = content.startswith(_OPENING) and content[len(_OPENING) : _BODY] == b'%s",' % (
        _checksum(path, body)
    )
    if not is_whole:
        return _unreadable(content, path)
    try:
        record: Any = _decoder(kind).decode(b"{" + body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _unreadable(content, path)
    if record.schema != SCHEMA or not _is_inside(record):
        return _unreadable(content, path)
    return record  # type: ignore[no-any-return]


def readable(record: _Record | Unreadable | None) -> _Record | None:
    """The record, if it is one."""
    return None if isinstance(record, Unreadable) else record


def _checksum(path: str, body: bytes) -> bytes:
    digest = hashlib.sha256(f"daintree:stored:1\n{path}\n".encode())
    digest.update(body)
    return digest.hexdigest().encode("ascii")


def _unreadable(content: bytes, path: str) -> Unreadable:
    try:
        schema = msgspec.json.decode(content, type=_Written).schema
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        schema = SCHEMA
    if schema < SCHEMA and not content.startswith(_OPENING):
        return Unreadable("older", "was made by an older version")
    # One flipped digit must not make a damaged record pass for one that nobody may replace.
    body = content[_BODY:].replace(b'"schema":%d' % schema, b'"schema":%d' % SCHEMA, 1)
    if schema > SCHEMA and content[len(_OPENING) : _BODY] != b'%s",' % _checksum(path, body):
        return Unreadable("newer", f"was made by a newer version (schema {schema})")
    return Unreadable("damaged", "is damaged")


def _is_inside(record: Any) -> bool:
    """False for a record whose location leads out of the store."""
    try:
        check_location(getattr(record, "location", "inside"))
    except StoreError:
        return False
    return True


def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """The decoder of a kind of record, made by one thread: msgspec crashes where another meets a type half described."""
    with _decoder_lock:
        if kind not in _decoders:
            _decoders[kind] = msgspec.json.Decoder(kind)
        return _decoders[kind]


def current_user() -> str:
    """Name of who runs this process, for records; "" where the machine does not say."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
