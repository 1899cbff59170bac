"""The record step of a stage that has put out much, every object hashed, against `s5cmd cat` of the same objects, which hashes none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from contenders import s5cmd, workspace
from timing import parser, race, ratio, row, timed

from daintree.concurrency import side_by_side
from tests.argo.conftest import make_submission, submitted_stage
from tests.argo.executed import Shop, node_of
from tests.services.minio import running_server

MIB = 1 << 20
SUBMISSION = make_submission(submitted_stage("load"))


def main() -> None:
    """Measure, and print a row for each shape of output."""
    arguments = parser(__doc__).parse_args()
    size, count, rounds = (128 * MIB, 1000, 3) if arguments.quick else (2048 * MIB, 10_000, 5)
    with workspace() as directory:
        for number in (count, 1):
            contest = Contest(directory / str(number), number, size // number)
            one, other = race({"ours": contest.ours, "s5cmd": contest.other}, rounds).values()
            shape = f"`doit record`, {number:,} {'files' if number > 1 else 'file'} of {size // number // 1024:,} KiB, {size // MIB} MiB"
            row(shape, "`s5cmd cat`", "≥ 0.8", ratio(other, one), f"{one} against {other}")


class Contest:
    """A Workflow of one stage whose output is so many objects of so many bytes; each way returns its seconds."""

    def __init__(self, directory: Path, count: int, size: int) -> None:
        self._count, self._server = count, running_server()
        self._shop = Shop.make(self._server, directory)
        workflow = self._shop.run(SUBMISSION, {"load": [({}, 0)]})
        self._recording = self._shop.recording(workflow, SUBMISSION)
        [artifact] = node_of(workflow, "load")["outputs"]["artifacts"]
        self._place = artifact["s3"]["key"].removeprefix(f"{self._shop.bucket.prefix}/")
        content = os.urandom(size)

        def put(number: int) -> None:
            place = f"{self._place}/part-{number // 1000}/file-{number:05}"
            self._shop.bucket.put(place, content)

        side_by_side(put, range(count), 16)

    def ours(self) -> float:
        """The stage listed, hashed and recorded, as if it never had been."""
        bucket = self._shop.bucket
        bucket.delete([e.path for e in bucket.list("text") if e.path.endswith("/run.json")])
        for part in ("_cache", "_history"):
            bucket.delete_below(part)
        taken = timed(self._record)
        assert self._shop.remote.records.stages_with_history(None) == [("words", "load")]
        return taken

    def other(self) -> float:
        """The same objects to nowhere."""
        keys = {
            "AWS_ACCESS_KEY_ID": self._server.access.access_key,
            "AWS_SECRET_ACCESS_KEY": self._server.access.secret_key,
        }
        place = f"{self._shop.bucket.url}/{self._place}/*"
        options = ["--log", "error", "--endpoint-url", self._server.access.endpoint]
        command = [s5cmd(), *options, "cat", place]
        environment = {**os.environ, **keys}
        return timed(
            lambda: subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        )

    def _record(self) -> None:
        report = self._recording.record(SUBMISSION.stages[0])
        assert (report.status, report.files) == ("recorded", self._count), report


if __name__ == "__main__":
    main()
