"""Layout of a store: the path of each record, the ids and times of runs, and the names that every backend accepts.

<location>/run.json, log.txt, output/<files>            one run; the location follows the prefix setting
<location>/stamp.json, origin.json                      on one machine only: see `integrity`, `cache`
_cache/<stage key>                                      index record, or the tombstone of a collected output
_history/<pipeline>/<stage>/<day>/<time>,<sketch>-<run id>   history entry; day and time inverted: newest first
_notes/<name>  _leases/<content key>  _submissions/<digest>
_sources/<digest>/source.json, output/<files>
_names/<pipeline>/<name>                                the runs of a pipeline that have a name, and its moves
<location>/collected.json                               the output was collected: when, and by whom
_readers/<SHA-256 of a location>                        of a directory: locked by those who read an output or a source
_staging/  _store  _lock                                of a directory: staging, marker, lock of replacements
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from daintree.digest import Plain, digest_record, short
from daintree.errors import ArtifactRejected, StoreError
from daintree.spec.component import Scalar

# Less of a run's id may be anything; its nonce has eight digits.
FEWEST_DIGITS = 6
RUN_RECORD = "run.json"
SOURCE_RECORD = "source.json"
LOG = "log.txt"
OUTPUT = "output"
STAMP = "stamp.json"
ORIGIN = "origin.json"
INDEX = "_cache"
HISTORY = "_history"
NOTES = "_notes"
SOURCES = "_sources"
SUBMISSIONS = "_submissions"
NAMES = "_names"
LEASES = "_leases"
STAGING = "_staging"
READERS = "_readers"
COLLECTED = "collected.json"

MOST_BYTES = 255
SKETCH_DIGITS, MOST_SKETCHED = 4, 40

# The time of a run, at the beginning of its id, and the same inverted, so that ascending names are descending times.
_RUN_TIME = re.compile(r"(\d{8})T(\d{9})Z-")
_INVERTED = str.maketrans("0123456789", "9876543210")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# The directory back end of obstore keeps these names for its own temporary files.
_NUMBERED = re.compile(r"#[0-9]+\Z")
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NOTE = r"[a-z0-9/_.-]+"
_SKETCH = re.compile(r"[0-9a-f]+")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def run_id(started: datetime) -> str:
    """A new run id, `<UTC time>-<nonce>`: ids sort by time, and no two runs share one."""
    return f"{started:%Y%m%dT%H%M%S}{started.microsecond // 1000:03d}Z-{os.urandom(4).hex()}"


def run_location(prefix: str, component: str, version: str, moment: datetime, run: str) -> str:
    """The location of a run of a component's version at a moment (UTC), by the setting `prefix`."""
    return prefix.format(
        component=component,
        version=short(version),
        year=f"{moment:%Y}",
        month=f"{moment:%m}",
        day=f"{moment:%d}",
        timestamp=run,
    )


def timestamp(moment: datetime | None = None) -> str:
    """A time, or now, as records hold it: UTC, ISO 8601, to the second."""
    return f"{moment or datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def seconds_of(moment: str) -> float:
    """Seconds since 1970 of a time as records hold it; 0 for what is no time."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return 0.0


def check_names(paths: Iterable[str]) -> None:
    """Raise ArtifactRejected, naming the file, unless an artifact may hold files of these paths together."""
    files = dict.fromkeys(paths)
    folded: dict[str, str] = {}
    for path in files:
        for segment in path.split("/"):
            reason = _refusal(segment)
            if reason:
                raise ArtifactRejected(
                    f"the file name {path!r} {reason}", hint="give the file another name"
                )
        _check_clash(path, folded)
    directories = {path.rpartition("/")[0] for path in files}
    while directories:
        both = sorted(files.keys() & directories)
        if both:
            raise ArtifactRejected(
                f"the file name {both[0]!r} is a directory's too",
                hint="give one of them another name: only a bucket can hold both",
            )
        directories = {path.rpartition("/")[0] for path in directories} - {""}


def check_location(location: str) -> str:
    """The location. Raises StoreError for one that could lead out of the store or into the store's own directories."""
    for segment in location.split("/"):
        reason = _refusal(segment)
        if reason:
            raise StoreError(
                f"the location {location!r} {reason}", hint="look at the prefix setting"
            )
    if location.startswith("_"):
        raise StoreError(
            f"the location {location!r} begins with _, as the store's own directories do",
            hint="look at the prefix setting",
        )
    return location


def check_identifier(kind: str, name: str) -> str:
    """The name of a pipeline, stage or run, or a name of runs. Raises StoreError for one that is no safe path segment."""
    if not is_identifier(name):
        raise StoreError(
            f"{name!r} cannot name a {kind} in the store",
            hint="letters, digits, `.`, `_` and `-` alone",
        )
    return name


def is_identifier(name: str) -> bool:
    """True for a safe path segment of letters, digits, `.`, `_` and `-`."""
    return bool(_IDENTIFIER.fullmatch(name)) and len(name) <= MOST_BYTES


def hexadecimal(digest: str) -> str:
    """The 64 hex digits of a digest, for a path. Raises StoreError for anything else."""
    if not _DIGEST.fullmatch(digest):
        raise StoreError(f"{digest!r} is no digest")
    return digest[7:]


def is_digest(text: str) -> bool:
    """True for a digest."""
    return bool(_DIGEST.fullmatch(text))


def index_path(key: str) -> str:
    """Path of the index record of a stage key. Raises StoreError for what is no digest."""
    return f"{INDEX}/{hexadecimal(key)}"


def run_path(location: str) -> str:
    """Path of the run record of the run at a location. Raises StoreError for a location outside."""
    return f"{check_location(location)}/{RUN_RECORD}"


def submission_path(digest: str) -> str:
    """The path of what a cluster was asked to run, by its digest. Raises StoreError for what is no digest."""
    return f"{SUBMISSIONS}/{hexadecimal(digest)}"


def source_location(digest: str) -> str:
    """Path of the directory of a source. Raises StoreError for what is no digest."""
    return f"{SOURCES}/{hexadecimal(digest)}"


def note_path(name: str) -> str:
    """Path of a note. Raises StoreError for a name that is no safe path."""
    if not re.fullmatch(_NOTE, name) or any(_refusal(segment) for segment in name.split("/")):
        raise StoreError(f"{name!r} cannot name a note in the store")
    return f"{NOTES}/{name}"


def execution_note(pipeline: str) -> str:
    """Name of the note of the last complete execution of a pipeline on this machine."""
    return f"executions/{hexadecimal(digest_record('execution', 1, pipeline))}"


def lease_path(content_key: str) -> str:
    """Path of the lease of a content key. Raises StoreError for what is no digest."""
    return f"{LEASES}/{hexadecimal(content_key)}"


def name_path(pipeline: str, name: str) -> str:
    """Path of the record of a name. Raises StoreError for names that are no safe path segments."""
    return f"{NAMES}/{check_identifier('pipeline', pipeline)}/{check_identifier('name', name)}"


def collected_path(location: str) -> str:
    """Path of the record that the output of the run at a location was collected. Raises StoreError for a location outside."""
    return f"{check_location(location)}/{COLLECTED}"


def reader_path(place: str) -> str:
    """Path of the lock file of those who read the output or source in a directory of the store."""
    return f"{READERS}/{hashlib.sha256(place.encode()).hexdigest()}"


def stage_history(pipeline: str, stage: str) -> str:
    """Path of the directory of a stage's history. Raises StoreError for names that are no safe path segments."""
    names = check_identifier("pipeline", pipeline), check_identifier("stage", stage)
    return "/".join((HISTORY, *names))


def history_path(pipeline: str, stage: str, run: str, started: str, sketch: str = "") -> str:
    """Path of the history entry of a run: by the time in its id, else by `started` (ISO 8601, UTC).

    The `sketch` of what it was computed from stands in it, where there is room. Raises StoreError for names that are no safe path segments.
    """
    check_identifier("run", run)
    if sketch and not _SKETCH.fullmatch(sketch):
        raise StoreError(f"{sketch!r} is no sketch of a run")
    match = _RUN_TIME.match(run)
    if match:
        day, time = match[1], match[2]
    else:
        digits = re.sub(r"\D", "", started).ljust(17, "0")
        day, time = digits[:8], digits[8:17]
    name = f"{inverted(time)},{sketch}-{run}"
    if not sketch or len(name) > MOST_BYTES:
        name = f"{inverted(time)}-{run}"
    return f"{stage_history(pipeline, stage)}/{inverted(day)}/{name}"


def sketch_of(
    version: str, environment: str, parameters: Mapping[str, Scalar], inputs: Mapping[str, str]
) -> str:
    """Few digits of the digest of each thing that decides an output: so the names of history entries alone tell which run is near."""
    things: list[Plain] = [["version", version], ["environment", environment]]
    things += [["input", *item] for item in sorted(inputs.items())]
    things += [["parameter", *item] for item in sorted(parameters.items())]
    each = (digest_record("sketch", 1, thing) for thing in things[:MOST_SKETCHED])
    return "".join(short(digest, SKETCH_DIGITS) for digest in each)


def differences(first: str, second: str) -> int:
    """The number of things in which two sketches differ."""
    one, other = (
        {sketch[place : place + SKETCH_DIGITS] for place in range(0, len(sketch), SKETCH_DIGITS)}
        for sketch in (first, second)
    )
    return max(len(one - other), len(other - one))


def sketch_in(path: str) -> str:
    """The sketch in the path of a history entry; "" where it has none."""
    return path.rpartition("/")[2].partition("-")[0].partition(",")[2]


def inverted(digits: str) -> str:
    """Digits that sort in the opposite order."""
    return digits.translate(_INVERTED)


def _refusal(segment: str) -> str:
    """Reason that no store takes this path segment; "" when they all do."""
    if segment in ("", ".", ".."):
        return "has an empty, `.` or `..` segment"
    if _CONTROL.search(segment):
        return "has a control character in it"
    if _NUMBERED.search(segment):
        return "has a segment that ends in # and digits"
    try:
        size = len(segment.encode("utf-8"))
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    return f"has a segment of more than {MOST_BYTES} bytes" if size > MOST_BYTES else ""


def _check_clash(path: str, folded: dict[str, str]) -> None:
    """Note the path and its parents by their folded names; raise where another one folds to the same."""
    part = path
    while part:
        other = folded.setdefault(_fold(part), part)
        if other != part:
            raise ArtifactRejected(
                f"the file names {other!r} and {part!r} are equal but for case or Unicode form",
                hint="give one of them another name: some file systems cannot hold both",
            )
        part = part.rpartition("/")[0]


def _fold(text: str) -> str:
    """Form of a name in which case and Unicode form do not count."""
    if text.isascii():
        return text.lower()
    from unicodedata import normalize

    return normalize("NFD", normalize("NFD", text).casefold())
