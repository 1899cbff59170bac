"""A run with nothing to do and a pull of everything, from one MinIO that holds it all, against DVC on the same bytes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from contenders import daintree, dvc, make_writable, user_environments, variables, workspace
from projects import FILLED, commit, copy_of_this_project, dvc_twin, filled
from timing import Process, parser, race, ratio, row

from tests.services.minio import Minio, running_server
from tests.services.minio import variables as keys

STAGES = 3


def main() -> None:
    """Measure, and print one row for each target."""
    arguments = parser(__doc__).parse_args()
    rounds, mebibytes, files = (3, 8, 50) if arguments.quick else (9, 128, 500)
    server = running_server()
    with workspace() as directory:
        project = copy_of_this_project(directory / "item2vec")
        item2vec = Contest(server, directory, "item2vec", project)
        no_op(item2vec, rounds)
        pull(item2vec, "item2vec's sample, 5 stages", rounds)
        project = filled(directory / FILLED, STAGES, mebibytes, files)
        each = f"1 file of {mebibytes} MiB and {files} of 100 KiB"
        what = f"{STAGES} stages of {each}"
        pull(Contest(server, directory, FILLED, project), what, rounds)


class Contest:
    """A pipeline's outputs in a bucket, and the very same in a DVC remote on the same server."""

    def __init__(self, server: Minio, directory: Path, pipeline: str, project: Path) -> None:
        self.pipeline, self.project = pipeline, project
        self._caches, self._clone = directory / f"{pipeline}-caches", directory / "clone"
        self.environment = {
            **variables(self._caches, environments=user_environments()),
            **keys(server.access),
            "DAINTREE_STORE": f"s3://{server.bucket()}",
            "DAINTREE_CACHE": str(self._caches / "embedded"),
            "AWS_ACCESS_KEY_ID": server.access.access_key,
            "AWS_SECRET_ACCESS_KEY": server.access.secret_key,
        }
        outputs = directory / f"{pipeline}-outputs"
        for arguments in (("run", pipeline), ("pull", pipeline, "--to", str(outputs))):
            Process((daintree(), *arguments), project, self.environment).seconds()
        remote = {"url": f"s3://{server.bucket()}", "endpointurl": server.access.endpoint}
        self.dvc_project = dvc_twin(
            directory / f"{pipeline}-dvc", project, pipeline, outputs, remote, self.environment
        )
        for command in ("repro", "push"):
            Process((dvc(), command), self.dvc_project, self.environment).seconds()
        commit(self.dvc_project)

    def empty_caches(self) -> None:
        """Take away what this machine keeps of the store, snapshots, and what DVC keeps outside its project."""
        if self._caches.exists():
            make_writable(self._caches)
            shutil.rmtree(self._caches)

    def fresh_clone(self, project: Path) -> None:
        """Make a fresh clone of a project, on a machine that has nothing of it yet."""
        self.empty_caches()
        shutil.rmtree(self._clone, ignore_errors=True)
        subprocess.run(["git", "clone", "--quiet", str(project), str(self._clone)], check=True)

    def on_a_clone(self, project: Path, *command: str, expected: str) -> Process:
        """A command on a clone of a project that is as fresh each time."""
        reset = lambda: self.fresh_clone(project)  # noqa: E731
        return Process(command, self._clone, self.environment, expected, reset)


def no_op(contest: Contest, rounds: int) -> None:
    """Nothing to do, with an empty embedded store, against DVC's question whether its remote has all."""
    run, hits = (daintree(), "run", contest.pipeline), f"{contest.pipeline}: 5 hits, 0 runs"
    ours = Process(run, contest.project, contest.environment, hits, contest.empty_caches)
    status = (dvc(), "status", "--cloud")
    others = Process(status, contest.dvc_project, contest.environment, "are in sync")
    one, other = race({"doit run": ours.seconds, "dvc status": others.seconds}, rounds).values()
    what = "no-op `doit run item2vec` on MinIO, embedded store empty"
    row(what, "`dvc status -c`", "≤ 0.33", ratio(one, other), f"{one} against {other}")


def pull(contest: Contest, what: str, rounds: int) -> None:
    """All stages' outputs into a fresh clone, on a machine that has nothing of them, against DVC with the same bytes."""
    command = (daintree(), "pull", contest.pipeline)
    ours = contest.on_a_clone(contest.project, *command, expected="output")
    others = contest.on_a_clone(contest.dvc_project, dvc(), "pull", expected="fetched")
    one, other = race({"doit pull": ours.seconds, "dvc pull": others.seconds}, rounds).values()
    what = f"pull of everything into a fresh clone: {what}"
    row(what, "`dvc pull`", "≤ 0.5", ratio(one, other), f"{one} against {other}")


if __name__ == "__main__":
    main()
