"""The records a run leaves behind: its artifact's files, its manifest `run.json`, and the index record that finds it.

All are frozen, versioned (`schema`) and written as JSON with sorted keys, so that equal records are equal bytes.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from typing import Any, Literal, TypeVar

import msgspec

from daintree.digest import Plain, digest_record
from daintree.spec.component import Scalar

SCHEMA = 1


class FileEntry(msgspec.Struct, frozen=True):
    """One file of an artifact: its path below the artifact (`/` between segments), bytes, and SHA-256 (64 hex)."""

    path: str
    size: int
    sha256: str


class Artifact(msgspec.Struct, frozen=True):
    """What a run read or wrote: its digest and its files, sorted by path."""

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
    """One input of a run: the need's name ("" for a source), its digest, and where it was read from.

    `origin` is a run's location in the store, or the source as the user wrote it, without credentials; `final_origin` the URL that the source's
    server redirected to, without its query, "" where it did not.
    """

    name: str
    digest: str
    origin: str
    final_origin: str = ""


class Keys(msgspec.Struct, frozen=True):
    """The two stage keys a run's output is found under."""

    recipe: str
    content: str


class RunManifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`run.json`: what ran, on what, when, why, with what result. Times are UTC, ISO 8601, to the second.

    `run` is the run id, `location` its place in the store. A failed run has no output and is in no index.
    `parameters` are all the stage's parameters; `ineffective` names those that stay out of the key.
    `image` is the digest of the image it ran in, as the registry says, else the image's id ("" for none).
    `seconds` is the stage's own wall time, `peak_memory` bytes of resident memory at most (0: not known).
    `host` is the machine, a cluster's node; `workflow` and `pod` name what ran it there ("" elsewhere).
    """

    # By a factory, so that it is written though it is the default: readers of an older schema must see it.
    schema: int = msgspec.field(default_factory=lambda: SCHEMA)
    run: str
    location: str
    pipeline: str
    stage: str
    component: str
    version: str
    version_files: dict[str, str] = {}
    parameters: dict[str, Scalar] = {}
    ineffective: tuple[str, ...] = ()
    environment: str
    runner: str
    image: str = ""
    keys: Keys
    inputs: tuple[InputRecord, ...] = ()
    output: Artifact | None = None
    result: Literal["succeeded", "failed"]
    failure: str = ""
    reason: str = ""
    started: str
    finished: str
    seconds: float
    exit_code: int = 0
    peak_memory: int = 0
    user: str = ""
    host: str = ""
    workflow: str = ""
    pod: str = ""
    commit: str = ""
    dirty: bool = False
    tooling: str = ""
    python: str = ""


class IndexRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage key leads to: a run's location and what a listing of its output must agree with.

    `digest`, `count` and `bytes` describe the output; `inputs` are the digests the run read, by need
    ("" for a source); `seconds` is what computing it took; `run` makes the record unique.
    `manifest_bytes` is the size of the run's `run.json` (0: not known).
    """

    schema: int = SCHEMA
    run: str
    location: str
    digest: str
    count: int
    bytes: int
    inputs: dict[str, str]
    seconds: float
    manifest_bytes: int = 0


_NONCE = re.compile(r"\d{8}T\d+Z-([0-9a-f]{8})")


def short_run(run: str) -> str:
    """A run's id as people type it: its nonce, which `Store.find_run` takes too; an id of another form whole."""
    match = _NONCE.fullmatch(run)
    return match[1] if match else run


def index_record_of(manifest: RunManifest) -> IndexRecord:
    """The index record of a run that succeeded. Raises ValueError for one that did not."""
    if manifest.output is None:
        raise ValueError(f"run {manifest.run} has no output")
    return IndexRecord(
        run=manifest.run,
        location=manifest.location,
        digest=manifest.output.digest,
        count=len(manifest.output.files),
        bytes=manifest.output.bytes,
        inputs={record.name: record.digest for record in manifest.inputs},
        seconds=manifest.seconds,
        manifest_bytes=len(encode(manifest)),
    )


_Record = TypeVar("_Record", bound=msgspec.Struct)

_encoder = msgspec.json.Encoder(order="sorted")
_decoders: dict[type[msgspec.Struct], msgspec.json.Decoder[Any]] = {}
_decoder_lock = threading.Lock()


def encode(record: msgspec.Struct) -> bytes:
    """The record as JSON with sorted keys, one line, ended by a newline."""
    return _encoder.encode(record) + b"\n"


def decode(kind: type[_Record], content: bytes) -> _Record | None:
    """The record in `content`; None when it is not whole, not of this kind, or of a newer schema."""
    try:
        record: Any = _decoder(kind).decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return record if record.schema <= SCHEMA else None


def _decoder(kind: type[msgspec.Struct]) -> msgspec.json.Decoder[Any]:
    """The decoder of a kind of record, made by one thread: msgspec crashes where another meets a type half described."""
    with _decoder_lock:
        if kind not in _decoders:
            _decoders[kind] = msgspec.json.Decoder(kind)
        return _decoders[kind]
