"""Outputs to and from a bucket, with every SHA-256 verified, against s5cmd, which verifies none, on one MinIO."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from contenders import s5cmd, workspace
from timing import parser, race, ratio, row, timed

from daintree.store.bucket import Bucket
from daintree.store.integrity import hash_artifact
from daintree.store.records import FileEntry
from daintree.store.transfer import Progress, download, upload
from tests.services.minio import Minio, running_server

MIB = 1 << 20


def main() -> None:
    """Measure, and print one row for each direction and each shape of output."""
    arguments = parser(__doc__).parse_args()
    large, count, rounds = (256 * MIB, 500, 3) if arguments.quick else (2048 * MIB, 5000, 9)
    server = running_server()
    with workspace() as directory:
        for name, sizes in {"large": [large], "small": [100 * 1024] * count}.items():
            source = directory / name
            write(source, sizes)
            shape = f"{len(sizes):,} files of {sizes[0] // 1024:,} KiB"
            measure(Contest(server, source, directory / "down"), shape, rounds)


class Contest:
    """One output on its way up and down, by us and by s5cmd; each way returns its seconds."""

    def __init__(self, server: Minio, source: Path, target: Path) -> None:
        self._access, self._source, self._target = server.access, source, target
        self._bucket = Bucket(f"s3://{server.bucket()}", server.access)
        self._files: tuple[FileEntry, ...] = hash_artifact(source).files

    def up(self) -> float:
        """Ours, as a run's output is published."""
        return timed(
            lambda: upload(self._bucket, self._source, "ours", self._files, self._progress())
        )

    def down(self) -> float:
        """Ours, as a hit is fetched into the cache."""
        self._empty_target()
        return timed(
            lambda: download(self._bucket, "ours", self._files, self._target, self._progress())
        )

    def other_up(self) -> float:
        """s5cmd's."""
        return timed(lambda: self._s5cmd(f"{self._source}/*", f"{self._bucket.url}/theirs/"))

    def other_down(self) -> float:
        """s5cmd's."""
        self._empty_target()
        return timed(lambda: self._s5cmd(f"{self._bucket.url}/theirs/*", f"{self._target}/"))

    def _progress(self) -> Progress:
        return Progress("", len(self._files), sum(entry.size for entry in self._files))

    def _empty_target(self) -> None:
        shutil.rmtree(self._target, ignore_errors=True)
        self._target.mkdir()

    def _s5cmd(self, *places: str) -> None:
        keys = {
            "AWS_ACCESS_KEY_ID": self._access.access_key,
            "AWS_SECRET_ACCESS_KEY": self._access.secret_key,
        }
        command = [s5cmd(), "--log", "error", "--endpoint-url", self._access.endpoint, "cp"]
        subprocess.run([*command, *places], env={**os.environ, **keys}, check=True)


def measure(contest: Contest, shape: str, rounds: int) -> None:
    """Race up, then down, and print a row for each."""
    directions: Mapping[str, tuple[Callable[[], float], Callable[[], float]]] = {
        "up": (contest.up, contest.other_up),
        "down": (contest.down, contest.other_down),
    }
    for direction, (ours, others) in directions.items():
        one, other = race({"ours": ours, "s5cmd": others}, rounds).values()
        speed = ratio(other, one)
        row(f"{shape} {direction}", "`s5cmd`", "≥ 1.0", speed, f"{one} against {other}")


def write(directory: Path, sizes: list[int]) -> None:
    """Files of these sizes, of random bytes."""
    directory.mkdir()
    for number, size in enumerate(sizes):
        with open(directory / f"file-{number:05}", "wb") as file:
            for at in range(0, size, MIB):
                file.write(os.urandom(min(MIB, size - at)))


if __name__ == "__main__":
    main()
