"""Whatever is added to, copied in, renamed in or rewired in a Workflow: what is recorded is what its stage computes."""

from __future__ import annotations

import copy
import hashlib
import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from daintree.argo.manifest import stage_variables, workflow_manifest
from daintree.argo.names import OUTPUT_ARTIFACT
from daintree.argo.submission import Submission
from tests.argo.any_pipeline import with_parameters
from tests.argo.conftest import cluster, digest, make_submission
from tests.argo.executed import Shop, output_directory
from tests.argo.workflows import node_number
from tests.services.argo_check import faults
from tests.services.minio import Minio
from tests.services.one_machine_argo import OneMachineArgo

Manifest = dict[str, Any]
NAMES = ("load", "clean", "count", "join")
PIPELINE = make_submission(
    with_parameters("load", {"top": 3}, recipe=digest("a")),
    with_parameters("clean", {"top": 1}, recipe=digest("b"), needs=("load",)),
    # The template is another stage's too.
    with_parameters(
        *("count", {"top": 2}),
        component="text/clean",
        template="text-clean",
        image=f"registry.example/ml/text/clean@{digest('3')}",
        recipe=digest("c"),
        needs=("clean",),
    ),
    with_parameters("join", {"top": 3}, recipe=digest("d"), needs=("clean", "count")),
)


def tasks_of(manifest: Manifest) -> list[Manifest]:
    """The tasks of the pipeline."""
    tasks: list[Manifest] = manifest["spec"]["templates"][0]["dag"]["tasks"]
    return tasks


def task_of(manifest: Manifest, name: str) -> Manifest:
    """A task, or the first where none has that name any more."""
    tasks = tasks_of(manifest)
    return next((task for task in tasks if task["name"] == name), tasks[0])


def template_of(manifest: Manifest, task: Manifest) -> Manifest:
    """The template of a task."""
    templates: list[Manifest] = manifest["spec"]["templates"]
    return next(one for one in templates if one["name"] == task["template"])


def copy_task(manifest: Manifest, name: str, number: int) -> None:
    """The same task once more, with another parameter and the same or another stage's name."""
    twin = copy.deepcopy(task_of(manifest, name))
    twin["name"] = f"twin-{number}"
    stage, _, *values = twin["arguments"]["parameters"]
    stage["value"] = NAMES[number % len(NAMES)]
    for parameter in values:
        parameter["value"] = str(number)
    tasks_of(manifest).insert(number % (len(tasks_of(manifest)) + 1), twin)


def rename_task(manifest: Manifest, name: str, number: int) -> None:
    """Two tasks change names, and everything follows."""
    task, other = task_of(manifest, name), task_of(manifest, NAMES[number % len(NAMES)])
    names = {task["name"]: other["name"], other["name"]: task["name"]}
    for one in tasks_of(manifest):
        one["name"] = names.get(one["name"], one["name"])
        if "dependencies" in one:
            one["dependencies"] = [names.get(need, need) for need in one["dependencies"]]
        for artifact in one["arguments"]["artifacts"]:
            if "from" in artifact:
                before, name, after = re.split(r"(?<=tasks\.)([^.]+)", artifact["from"])
                artifact["from"] = f"{before}{names.get(name, name)}{after}"


def rewire_task(manifest: Manifest, name: str, number: int) -> None:
    """An input comes from another task, or another pod's output, and is waited for or not."""
    task, other = task_of(manifest, name), tasks_of(manifest)[number % len(tasks_of(manifest))]
    if other is task or reaches(manifest, other, task):
        return
    artifact = task["arguments"]["artifacts"][number % len(task["arguments"]["artifacts"])]
    artifact.pop("from", artifact.pop("s3", None))
    output = f"tasks.{other['name']}.outputs.artifacts.{OUTPUT_ARTIFACT}"
    artifact["from"] = "{{" + output + "}}"
    task["dependencies"] = [*task.get("dependencies", []), other["name"]]


def reaches(manifest: Manifest, task: Manifest, target: Manifest) -> bool:
    """Whether a task waits for another, however indirectly."""
    needs = [one for one in tasks_of(manifest) if one["name"] in task.get("dependencies", [])]
    return target in needs or any(reaches(manifest, need, target) for need in needs)


def add_writer(manifest: Manifest, name: str, number: int) -> None:
    """A template of its own whose task writes where another task's pod does."""
    task = task_of(manifest, name)
    template = copy.deepcopy(template_of(manifest, task))
    template["name"] = f"writer-{number}"
    template["container"]["args"].append(f"--more={number}")
    workflow = manifest["metadata"]["name"]
    number_of_node = node_number(f"{workflow}.{task['name']}(0)")
    pod = f"{workflow}-{task['template']}-{number_of_node}"
    [artifact] = template["outputs"]["artifacts"]
    artifact["s3"]["key"] = artifact["s3"]["key"].replace("{{pod.name}}", pod)
    if number % 3 == 0:
        artifact["s3"]["key"] += "/further"
    manifest["spec"]["templates"].append(template)
    twin = {**copy.deepcopy(task), "name": f"writer-{number}", "template": template["name"]}
    tasks_of(manifest).insert(number % (len(tasks_of(manifest)) + 1), twin)


def change_value(manifest: Manifest, name: str, number: int) -> None:
    """Another value of a Workflow's parameter."""
    parameters = manifest["spec"]["arguments"]["parameters"]
    parameters[number % len(parameters)]["value"] = str(number)


def change_container(manifest: Manifest, name: str, number: int) -> None:
    """Another image, another word, another variable."""
    container = template_of(manifest, task_of(manifest, name))["container"]
    if number % 3 == 0:
        container["image"] += "0"
    elif number % 3 == 1:
        container["args"].append(f"--more={number}")
    else:
        container["env"].append({"name": "MORE", "value": str(number)})


def change_output(manifest: Manifest, name: str, number: int) -> None:
    """Another key, or a further output to the same one."""
    artifacts = template_of(manifest, task_of(manifest, name))["outputs"]["artifacts"]
    if number % 2:
        artifacts[0]["s3"]["key"] = artifacts[0]["s3"]["key"].replace("{{pod.name}}", "pod")
    else:
        artifacts.append({**copy.deepcopy(artifacts[0]), "name": "more", "path": "/tmp"})


EDITS = (
    *(copy_task, rename_task, rewire_task, add_writer),
    *(change_value, change_container, change_output),
)
EDIT = st.tuples(st.sampled_from(EDITS), st.sampled_from(NAMES), st.integers(4, 40))


def computed(
    image: str, variables: Mapping[str, str], words: list[str], read: list[bytes]
) -> bytes:
    """What a container writes: all that decides it, in one digest."""
    text = repr((image, sorted(variables.items()), words, read))
    return hashlib.sha256(text.encode()).hexdigest().encode()


def pod(arguments: list[str]) -> tuple[str, int]:
    """A container that computes."""
    options = list(itertools.pairwise(arguments))
    place = arguments.index("--entrypoint") + 2
    mounts = [value for option, value in options if option == "--mount"]
    inputs = [Path(m.partition("source=")[2].partition(",")[0]) for m in mounts if "/input" in m]
    files = sorted(file for top in inputs for file in top.rglob("*") if file.is_file())
    variables = dict(v.partition("=")[::2] for option, v in options if option == "--env")
    words = [arguments[place - 1], *arguments[place + 1 :]]
    content = computed(arguments[place], variables, words, [file.read_bytes() for file in files])
    (output_directory(arguments) / "n").write_bytes(content)
    return "", 0


def expected(submission: Submission) -> dict[str, bytes]:
    """What each stage computes from what it needs, by itself."""
    outputs: dict[str, bytes] = {"": b"a b a\n"}
    for stage in submission.stages:
        read = [outputs[need] for need in sorted(stage.needs or ("",))]
        words = [*stage.command, *stage.arguments]
        outputs[stage.name] = computed(stage.image, stage_variables(()), words, read)
    return outputs


@pytest.fixture(scope="module")
def shop(minio: Minio, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A store and a cluster."""
    return Shop.make(minio, tmp_path_factory.mktemp("shop"))


def recorded(shop: Shop, manifest: Manifest, directory: Path) -> dict[str, bytes]:
    """What is recorded of each stage after a Workflow has run, as the store has it."""
    argo = OneMachineArgo(shop.bucket.access, shop.bucket.name, directory, pod)
    recording = shop.recording(argo.run(manifest), PIPELINE)
    outputs = {}
    for stage in recording.stages:
        report = recording.record(stage)
        if report.run:
            [key] = [
                path
                for path in shop.bucket.sizes("text")
                if report.run in path and path.endswith("/output/n")
            ]
            content = shop.bucket.get_many([key])[0]
            assert isinstance(content, bytes)
            outputs[stage.name] = content
            below = [path for path in shop.bucket.sizes("text") if f"{report.run}/output/" in path]
            assert below == [key]
    shop.bucket.delete([path for path in shop.bucket.sizes() if not path.startswith("_sources")])
    return outputs


def submitted(shop: Shop) -> Manifest:
    """The manifest of the pipeline."""
    shop.remote.add_submission(PIPELINE.digest, PIPELINE)
    return workflow_manifest(PIPELINE, cluster(store=shop.bucket.url))


def test_as_it_was_submitted_every_stage_is_recorded(shop: Shop, tmp_path: Path) -> None:
    outputs = recorded(shop, submitted(shop), tmp_path)
    assert outputs == {name: expected(PIPELINE)[name] for name in NAMES}


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(edits=st.lists(EDIT, min_size=1, max_size=3))
def test_whatever_was_edited_only_what_a_stage_computes_is_recorded(
    shop: Shop, tmp_path_factory: pytest.TempPathFactory, edits: list[Any]
) -> None:
    manifest = submitted(shop)
    for change, name, number in edits:
        change(manifest, name, number)
    assume(faults(manifest) == [])
    outputs = recorded(shop, manifest, tmp_path_factory.mktemp("pods"))
    wanted = expected(PIPELINE)
    assert outputs == {name: wanted[name] for name in outputs}
