"""`doit build` with nothing to do, against a bare script that sends the same requests to the same registry."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path

from contenders import PROJECT, daintree, variables, workspace
from projects import commit, new_project, write_component
from timing import Process, parser, race, ratio, row

sys.path.insert(0, str(PROJECT))

# What many would write: a pool of threads, each with a connection that stays open.
SCRIPT = '''"""Send a HEAD for each manifest that is listed, on kept-alive connections."""

import sys
from concurrent.futures import ThreadPoolExecutor

import urllib3

address, listing = sys.argv[1:]
kind = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
pool = urllib3.HTTPConnectionPool(*address.split(":"), maxsize=16, headers=kind)
paths = open(listing).read().split()
with ThreadPoolExecutor(16) as threads:
    answers = list(threads.map(lambda path: pool.request("HEAD", path), paths))
print(sum(answer.status == 200 for answer in answers), "present")
'''


def main() -> None:
    """Measure at 5 and 300 components, and print one row each."""
    arguments = parser(__doc__).parse_args()
    rounds = 5 if arguments.quick else 15
    for components in (5, 50 if arguments.quick else 300):
        with workspace() as directory, registry(directory) as address:
            measure(directory, address, components, rounds)


@contextmanager
def registry(directory: Path) -> Iterator[str]:
    """The registry that the tests use, too."""
    from tests.services.registry import serve

    with serve(directory) as served:
        yield served.address


def measure(directory: Path, address: str, components: int, rounds: int) -> None:
    """One race, on a project whose images are all there."""
    project = directory / "project"
    new_project(project)
    for number in range(components):
        write_component(project / "components" / f"group-{number % 10}" / f"component-{number:03}")
    commit(project)
    environment = {**variables(directory / "cache"), "DAINTREE_REGISTRY": f"{address}/ml"}
    environment["DAINTREE_IMAGES"] = str(directory / "cache" / "images")
    paths = publish(project, address, environment)
    (directory / "paths").write_text("\n".join(paths), encoding="utf-8")
    (directory / "bare.py").write_text(SCRIPT, encoding="utf-8")
    bare = (sys.executable, "bare.py", address, "paths")
    ours = Process((daintree(), "build"), project, environment, f"{components} present")
    script = Process(bare, directory, environment, f"{components} present")
    ours.seconds()
    times = race({"doit build": ours.seconds, "a bare script": script.seconds}, rounds)
    one, other = times["doit build"], times["a bare script"]
    what = f"`doit build` with nothing to do, {components} components"
    row(what, "a bare script's HEADs", "≤ 1.5", ratio(one, other), f"{one} against {other}")


def publish(project: Path, address: str, environment: dict[str, str]) -> list[str]:
    """Put an image without layers under each version's tag; the paths of their manifests."""
    dry_run = [daintree(), "build", "--dry-run", "--json"]
    done = subprocess.run(dry_run, cwd=project, env=environment, check=True, capture_output=True)
    connection = HTTPConnection(address)
    paths = []
    for component in json.loads(done.stdout)["components"]:
        name, _, tag = component["image"].removeprefix(f"{address}/").rpartition(":")
        labels = {"ml.daintree.version": component["version"]}
        described = {"Labels": labels, "Entrypoint": ["python", "/application/main.py"]}
        config = json.dumps({"config": described}).encode()
        digest = f"sha256:{sha256(config).hexdigest()}"
        _, place = _ask(connection, "POST", f"/v2/{name}/blobs/uploads/")
        _ask(connection, "PUT", f"{place}&digest={digest}", config)
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        blob = {"mediaType": "application/json", "size": len(config), "digest": digest}
        manifest = {"schemaVersion": 2, "mediaType": kind, "config": blob, "layers": []}
        path = f"/v2/{name}/manifests/{tag}"
        status, _ = _ask(connection, "PUT", path, json.dumps(manifest).encode(), kind)
        assert status == 201, path
        paths.append(path)
    return paths


def _ask(
    connection: HTTPConnection, method: str, path: str, body: bytes = b"", kind: str = "*/*"
) -> tuple[int, str]:
    """The status and the Location of an answer."""
    connection.request(method, path, body, {"Content-Type": kind})
    answer = connection.getresponse()
    answer.read()
    return answer.status, "/" + (answer.headers["Location"] or "").partition("//")[2].partition(
        "/"
    )[2]


if __name__ == "__main__":
    main()
