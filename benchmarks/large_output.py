"""A large output: entering it into the store and handing it on verified, against reading it once for its SHA-256."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from contenders import workspace
from timing import parser, race, ratio, row, timed

from daintree.store.integrity import hash_artifact
from daintree.store.records import IndexRecord, Keys, RunManifest, index_record_of
from daintree.store.store import Store, directory_store

MIB = 1 << 20


class Round:
    """One output on its way: written, then published, then handed on; each in `seconds` of its own."""

    def __init__(self, store: Store, size: int) -> None:
        self._store = store
        self._size = size
        self._number = 0
        self._record: IndexRecord | None = None

    def publish(self) -> float:
        """Seconds from the moment a stage has written its output until the index leads to it."""
        self._store.empty()
        self._number += 1
        run = f"20200101T000000{self._number:03}Z-00000000"
        with self._store.stage(run) as staging:
            write(staging.output / "large", self._size)
            started = time.perf_counter()
            manifest = manifest_of(run, staging.output)
            self._store.publish_run(staging, manifest)
            self._record = self._store.publish_index(
                manifest.keys.content, index_record_of(manifest)
            )
            return time.perf_counter() - started

    def hand_on(self) -> float:
        """Seconds until the next stage may read it in place, every byte verified."""
        return timed(lambda: self._store.check(self.record, thorough=True))

    def digest(self) -> float:
        """Seconds of one `hashlib.file_digest` of it."""
        return timed(lambda: file_digest(self._store.output_path(self.record) / "large"))

    @property
    def record(self) -> IndexRecord:
        """What the index says of the output published last."""
        assert self._record is not None
        return self._record


def main() -> None:
    """Measure, and print one row for each way."""
    arguments = parser(__doc__).parse_args()
    size, rounds = (256 * MIB, 5) if arguments.quick else (2048 * MIB, 9)
    with workspace() as directory:
        measured = Round(directory_store(directory / "store"), size)
        measured.publish()
        contenders = {
            "hand on": measured.hand_on,
            "file_digest": measured.digest,
            "publish": measured.publish,
        }
        handing, digest, publishing = race(contenders, rounds).values()
    what = f"{size // MIB} MiB output"
    against = "`hashlib.file_digest`"
    row(
        f"publishing a {what}",
        against,
        "≤ 1.3",
        ratio(publishing, digest),
        f"{publishing} against {digest}",
    )
    row(
        f"handing on a {what}",
        against,
        "≤ 1.3",
        ratio(handing, digest),
        f"{handing} against {digest}",
    )


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, as the standard library reads it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(path: Path, size: int) -> None:
    """Write a file of so many bytes and wait until it is on the disk."""
    block = os.urandom(MIB)
    with open(path, "wb") as file:
        for _ in range(size // MIB):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())


def manifest_of(run: str, output: Path) -> RunManifest:
    """The manifest of a run with this output, hashed now."""
    return RunManifest(
        run=run,
        location=f"bench/large/00000000000000000000/2020/01/01/{run}",
        pipeline="large",
        stage="large",
        component="bench/large",
        version="sha256:" + 64 * "0",
        environment="venv",
        runner="local",
        keys=Keys("sha256:" + 64 * "1", "sha256:" + 64 * "2"),
        output=hash_artifact(output),
        result="succeeded",
        started="2020-01-01T00:00:00Z",
        finished="2020-01-01T00:00:01Z",
        seconds=1.0,
    )


if __name__ == "__main__":
    main()
