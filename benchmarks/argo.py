"""`doit argo` for 50 stages against a real bucket and registry, whole process, beside a run of the same with nothing to do."""

from __future__ import annotations

import sys
from pathlib import Path

from build import publish, registry
from contenders import PROJECT, variables, workspace
from projects import PIPELINE, chain
from timing import Process, parser, race, ratio, row

sys.path.insert(0, str(PROJECT))

# With the extras, which a user who has a cluster has installed.
DOIT = Path(sys.executable).with_name("doit")
TOOLING = "registry.example/ml/daintree/tooling@sha256:" + "0" * 64


def main() -> None:
    """Measure and print one row."""
    arguments = parser(__doc__).parse_args()
    stages, rounds = (10, 3) if arguments.quick else (50, 15)
    with workspace() as directory, registry(directory) as address:
        measure(directory, address, stages, rounds)


def measure(directory: Path, address: str, stages: int, rounds: int) -> None:
    """One race: nothing is in the store, so every stage becomes a pod."""
    from tests.services.minio import running_server
    from tests.services.minio import variables as server_variables

    minio = running_server()
    project = chain(directory / "project", stages)
    environment = {
        **variables(directory / "cache"),
        **server_variables(minio.access),
        "DAINTREE_REGISTRY": f"{address}/ml",
        "DAINTREE_STORE": f"s3://{minio.bucket()}",
        "DAINTREE_CACHE": str(directory / "cache" / "store"),
        "DAINTREE_ARGO_ENDPOINT": "http://minio.minio:9000",
        "DAINTREE_ARGO_IMAGE": TOOLING,
    }
    publish(project, address, environment)
    command = (str(DOIT), "argo", PIPELINE, "--out", "workflow.yaml")
    ours = Process(command, project, environment, f"{stages} pods to run")
    # In a store of its own, where the first run computes every stage.
    idle = Process((str(DOIT), "run", PIPELINE), project, variables(directory / "idle"))
    ours.seconds()
    idle.seconds()
    times = race({"doit argo": ours.seconds, "no-op": idle.seconds}, rounds)
    one, other = times["doit argo"], times["no-op"]
    what = f"`doit argo`, {stages} stages, whole process"
    row(what, "`doit run`, nothing to do", "≤ 3", ratio(one, other), f"{one} against {other}")


if __name__ == "__main__":
    main()
