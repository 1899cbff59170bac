"""A Workflow's pods as containers of this machine's engine, and the object that a cluster would then have.

It does what was seen on a real cluster: tags are replaced in a template's JSON with Go's quoting, the kubelet expands
arguments, inputs come as files that their owner alone reads, a failed step's output is uploaded all the same, and each
attempt's under the key that holds its number. It is no cluster: one pod after the other, no deadlines.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daintree.store.bucket import Bucket
from daintree.store.s3 import S3Access
from tests.services.argo_expansion import UID, container_words, replace_tags, workflow_scope

NODE = "worker-1"
USER = os.getuid() or 1000

# What Argo says of a task, not of its attempts, whose retries are over.
NO_RETRIES, NOT_RETRIED = "No more retries left", "retryStrategy.expression evaluated to false"

Node = dict[str, Any]
# (what docker printed, exit code) of a container, given docker's options, image and words.
Container = Callable[[list[str]], "tuple[str, int]"]


def docker_run(arguments: list[str]) -> tuple[str, int]:
    """`docker run` with these arguments."""
    done = subprocess.run(
        ["docker", "run", "--rm", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return done.stdout, done.returncode


@dataclass
class OneMachineArgo:
    """Runs Workflows whose default artifact repository is a bucket; `directory` holds the pods' volumes, `secrets` the values of those Secrets that a test is about."""

    access: S3Access
    bucket: str
    directory: Path
    run_container: Container = docker_run
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)

    def run(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """The Workflow once its pipeline has run, as the cluster has it while its exit handler runs."""
        created = datetime.now(UTC).replace(microsecond=0)
        name = manifest["metadata"]["name"]
        scope = workflow_scope(manifest, created)
        templates = {template["name"]: template for template in manifest["spec"]["templates"]}
        tasks = templates[manifest["spec"]["entrypoint"]]["dag"]["tasks"]
        nodes: dict[str, Node] = {}
        finished: dict[str, Node] = {}
        for task in _in_order(tasks):
            needed = [finished[need] for need in task.get("dependencies", [])]
            if any(node["phase"] != "Succeeded" for node in needed):
                node = _node(name, task["name"], "Skipped", "Omitted", task["template"], created)
                node["message"] = "omitted: depends condition not met"
            else:
                node = self._attempts(
                    name, task, templates[task["template"]], scope, finished, nodes, created
                )
            nodes[node["id"]] = finished[task["name"]] = node
        succeeded = all(node["phase"] == "Succeeded" for node in finished.values())
        phase = "Succeeded" if succeeded else "Failed"
        top = _node(name, "", "DAG", phase, manifest["spec"]["entrypoint"], created)
        nodes[name] = {**top, "id": name, "name": name, "displayName": name}
        metadata = {**manifest["metadata"], "creationTimestamp": _time(created), "uid": UID}
        status = {"phase": "Running", "startedAt": _time(created), "nodes": nodes}
        return {**manifest, "metadata": metadata, "status": status}

    def _attempts(
        self,
        name: str,
        task: Node,
        template: Node,
        scope: Mapping[str, str],
        finished: Mapping[str, Node],
        nodes: dict[str, Node],
        created: datetime,
    ) -> Node:
        called = replace_tags(task["arguments"], scope, ignore_missing=True)
        strategy = template.get("retryStrategy", {})
        attempts: list[Node] = []
        while not attempts or (
            len(attempts) <= int(strategy.get("limit", 0)) and is_retried(attempts[-1], strategy)
        ):
            named = _node(
                name, f"{task['name']}({len(attempts)})", "Pod", "", template["name"], created
            )
            pod = f"{name}-{template['name']}-{named['id'].rpartition('-')[2]}"
            filling = {**scope, "retries": str(len(attempts)), "pod.name": pod}
            attempts.append(self._attempt(named, template, called, filling, finished))
            nodes[named["id"]] = attempts[-1]
        last = attempts[-1]
        retry = _node(name, task["name"], "Retry", last["phase"], template["name"], created)
        if last["phase"] != "Succeeded":
            used = len(attempts) > int(strategy.get("limit", 0))
            retry["message"] = NO_RETRIES if used else NOT_RETRIED
        shared: Node = {key: last[key] for key in ("inputs", "outputs") if key in last}
        return {**retry, **shared, "children": [attempt["id"] for attempt in attempts]}

    def _attempt(
        self,
        node: Node,
        template: Node,
        called: Node,
        scope: Mapping[str, str],
        finished: Mapping[str, Node],
    ) -> Node:
        """One pod; a negative exit code is that of one which the cluster lost: an Error, which is tried again."""
        inputs = {
            f"inputs.parameters.{p['name']}": p["value"] for p in called.get("parameters", [])
        }
        filled = replace_tags(template, {**scope, **inputs})
        artifacts = _located(filled, called, finished)
        volume = self.directory / node["id"]
        for artifact in artifacts:
            if not self._load(artifact, volume):
                return {**node, "phase": "Error", "message": f"NoSuchKey: {artifact['s3']['key']}"}
        output, code = self.run_container(
            _docker_arguments(filled, volume, artifacts, self.secrets)
        )
        self.logs[node["id"]] = output
        outputs = [
            self._save(artifact, filled, volume) for artifact in filled["outputs"]["artifacts"]
        ]
        message = "pod deleted" if code < 0 else f"main: Error (exit code {code})"
        return {
            **node,
            "phase": "Error" if code < 0 else "Failed" if code else "Succeeded",
            "nodeFlag": {"retried": True},
            "hostNodeName": NODE,
            "inputs": {"parameters": called.get("parameters", []), "artifacts": artifacts},
            "outputs": {"artifacts": outputs, **({"exitCode": str(code)} if code >= 0 else {})},
            **({"message": message} if code else {}),
        }

    def _load(self, artifact: Node, volume: Path) -> bool:
        """Bring an input artifact's objects to its place; False where there are none, which is a pod's error in Argo."""
        place = artifact["s3"]
        name = place["bucket"] if "endpoint" in place else self.bucket
        bucket, key = Bucket(f"s3://{name}", self.access), place["key"]
        sizes = list(bucket.sizes(key))
        single = [] if sizes else [entry["path"] for entry in bucket.entry(key)]
        if not sizes and not single:
            return False
        target = volume / artifact["path"].strip("/")
        for path in [*sizes, *single]:
            file = target / path[len(key) :].strip("/") if sizes else target
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            [content] = bucket.get_many([path])
            assert content is not None
            file.write_bytes(content)
            file.chmod(0o600)
        return True

    def _save(self, artifact: Node, template: Node, volume: Path) -> Node:
        """Put what lies at an output artifact's path under its key, whatever became of the step."""
        bucket = Bucket(f"s3://{self.bucket}", self.access)
        top = volume / artifact["path"].strip("/")
        for file in sorted(top.rglob("*")):
            if file.is_file() and not file.is_symlink():
                bucket.put(f"{artifact['s3']['key']}/{file.relative_to(top)}", file.read_bytes())
        return artifact


def is_retried(attempt: Node, strategy: Mapping[str, Any]) -> bool:
    """Decide as Argo does by the three forms of an expression that the tooling writes."""
    conditions = strategy["expression"].split(" || ")
    for condition in conditions:
        if code := re.fullmatch(r"asInt\(lastRetry\.exitCode\) == (\d+)", condition):
            met = attempt.get("outputs", {}).get("exitCode", "-1") == code[1]
        elif message := re.fullmatch(r"lastRetry\.message matches '(.+)'", condition):
            met = re.search(message[1], attempt.get("message", "")) is not None
        else:
            assert condition == "lastRetry.status == 'Error'"
            met = attempt["phase"] == "Error"
        if met and attempt["phase"] in ("Error", "Failed"):
            return True
    return False


def _docker_arguments(
    template: Node,
    volume: Path,
    artifacts: list[Node],
    secrets: Mapping[str, Mapping[str, str]],
) -> list[str]:
    """The pod as `docker run` takes it: its user, its mounts, its limits, and its words as the kubelet makes them."""
    container = template["container"]
    variables = {v["name"]: v["value"] for v in container["env"] if "value" in v}
    for variable in container["env"]:
        reference = variable.get("valueFrom", {}).get("secretKeyRef", {})
        if reference.get("name") in secrets:
            variables[variable["name"]] = secrets[reference["name"]][reference["key"]]
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    mounts += [_mounted(artifact, volume) for artifact in artifacts]
    for path in mounts:
        (volume / path.strip("/")).mkdir(parents=True, exist_ok=True)
    _give(volume)
    arguments = ["--user", f"{USER}:{USER}", "--read-only", "--cap-drop", "ALL"]
    for path in mounts:
        arguments += ["--mount", f"type=bind,source={volume / path.strip('/')},target={path}"]
    for name, value in variables.items():
        arguments += ["--env", f"{name}={value}"]
    limits = container.get("resources", {}).get("limits", {})
    if "memory" in limits:
        arguments += ["--memory", limits["memory"].rstrip("i")]
    words = container_words(container, variables)
    return [*arguments, "--entrypoint", words[0], container["image"], *words[1:]]


def _mounted(artifact: Node, volume: Path) -> str:
    """The directory that is mounted for an input: its own, or that of the one file it is."""
    path = str(artifact["path"])
    return path if (volume / path.strip("/")).is_dir() else os.path.dirname(path)


def _give(directory: Path) -> None:
    """Make everything the pod's user's own, as the executor does, which runs as the same one."""
    for path in (directory, *directory.rglob("*")):
        os.chown(path, USER, USER)


def _located(template: Node, called: Node, finished: Mapping[str, Node]) -> list[Node]:
    """The template's input artifacts, each with where it is."""
    given = {artifact["name"]: artifact for artifact in called.get("artifacts", [])}
    located = []
    for artifact in template["inputs"]["artifacts"]:
        place = given[artifact["name"]]
        if "from" in place:
            task, output = re.fullmatch(
                r"\{\{tasks\.([^.]+)\.outputs\.artifacts\.([^.]+)\}\}", place["from"]
            ).groups()  # type: ignore[union-attr]
            outputs = finished[task]["outputs"]["artifacts"]
            place = next(item for item in outputs if item["name"] == output)
        located.append({**artifact, "s3": place["s3"]})
    return located


def _in_order(tasks: list[Node]) -> list[Node]:
    """Each task after those it waits for. Fails for tasks that wait for each other, which Argo refuses."""
    done: list[Node] = []
    while len(done) < len(tasks):
        names = {task["name"] for task in done}
        ready = [t for t in tasks if t not in done and names.issuperset(t.get("dependencies", []))]
        assert ready, "the tasks wait for each other"
        done.append(ready[0])
    return done


def _node(workflow: str, name: str, kind: str, phase: str, template: str, at: datetime) -> Node:
    full = f"{workflow}.{name}"
    number = 0x811C9DC5
    for byte in full.encode():
        number = ((number ^ byte) * 0x01000193) & 0xFFFFFFFF
    return {
        "id": f"{workflow}-{number}",
        "name": full,
        "displayName": name,
        "type": kind,
        "phase": phase,
        "templateName": template,
        "boundaryID": workflow,
        "startedAt": _time(at),
        "finishedAt": _time(datetime.now(UTC)),
    }


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
