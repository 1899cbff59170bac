"""`doit list`, and the overview that plain `doit` prints."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from doit.cmd_list import List as DoitList

from daintree.commands.command import COMMANDS, print_json, reserved_names, shared
from daintree.commands.doit_adapter import AtProject, daintree_project
from daintree.components import (
    NAMED_FILES,
    directory_of,
    discover_components,
    discover_images,
    discover_libraries,
    read_description,
)
from daintree.components.git import ignored_paths
from daintree.errors import DaintreeError, SpecError
from daintree.pipeline.plan import check_parameters
from daintree.spec.pipeline import Stage, load_pipeline, pipeline_files
from daintree.terminal import columns


def pipeline_rows(root: Path, *, stages: bool) -> list[list[str]]:
    """A row for each pipeline: its name, and its description or why it is broken; `stages` adds their rows."""
    rows = []
    reserved = reserved_names(root)
    components = discover_components(root)
    for name in pipeline_files(root):
        try:
            pipeline = load_pipeline(root, name, reserved)
            for stage in pipeline.stages:
                _check_stage(root, stage, components)
        except DaintreeError as error:
            rows.append([name, f"BROKEN: {error.message}"])
            continue
        rows.append([name, pipeline.description or " → ".join(s.name for s in pipeline.stages)])
        if stages:
            rows += [[f"{name}:{stage.name}", stage.code] for stage in pipeline.stages]
    return rows


def _check_stage(root: Path, stage: Stage, components: Collection[str]) -> None:
    if stage.code != stage.component:
        # Its sources are elsewhere: its image would have to be asked.
        return
    if stage.component not in components:
        raise SpecError(f"{stage.place}: there is no component {stage.component!r}")
    check_parameters(stage, read_description(root, stage.component), stage.component)


def _component_rows(root: Path) -> list[list[str]]:
    rows = []
    names = [*discover_images(root), *discover_libraries(root)]
    places = {name: _places(root, name) for name in names}
    rules = ignored_paths(root, [place for each in places.values() for place in each])
    for name in names:
        rule = next((rules[place] for place in places[name] if place in rules), "")
        if rule:
            rows.append([name, f"BROKEN: ignored by git: {rule}"])
            continue
        try:
            spec = read_description(root, name)
            roles = {"serve": spec.serves, "monitor": spec.monitors}
            used = "".join(f" (doit {command} {name})" for command, stage in roles.items() if stage)
            rows.append([name, spec.description + used])
        except DaintreeError as error:
            rows.append([name, f"BROKEN: {error.message}"])
    return rows


def _places(root: Path, name: str) -> list[str]:
    """The files that mean something for a component or library; the directory where it has none."""
    directory = directory_of(name)
    files = [f"{directory}/{file}" for file in NAMED_FILES]
    return [file for file in files if (root / file).exists()] or [directory]


def print_overview(root: Path) -> int:
    """Overview of the project and of what to type; runs nothing."""
    rows = pipeline_rows(root, stages=False)
    print("Pipelines")
    print("\n".join(columns(rows) or ["  none yet: doit new pipeline NAME"]))
    name = next((name for name, text in rows if not text.startswith("BROKEN: ")), "PIPELINE")
    steps = [
        [f"doit run {name}", "run it; what is in the store is skipped"],
        [f"doit plan {name}", "what a run would do, and why"],
        [f"doit history {name}", "its runs"],
        ["doit affected", "the components that your changes affect"],
        ["doit new component group/name", "write a component from a template"],
        ["doit list", "everything there is"],
    ]
    print("\nTo do")
    print("\n".join(columns(steps)))
    return 0


class List(AtProject, DoitList):  # type: ignore[misc]
    """Lists pipelines, tasks, commands and components; with an option of doit's own list, that list."""

    doc_purpose = COMMANDS["list"]
    cmd_options = (*DoitList.cmd_options, *shared("json"))

    def execute(self, params: Any, names: Sequence[str]) -> int:
        root = daintree_project(params)
        if root is None or names or params._non_default_keys - {"subtasks", "json"}:
            return int(super().execute(params, names) or 0)
        sections = self._sections(root, params["subtasks"])
        if params["json"]:
            print_json(
                {title.split(" (")[0].lower(): dict(rows) for title, rows in sections.items()}
            )
            return 0
        for title, rows in sections.items():
            print(title)
            print("\n".join(columns(rows) or ["  none"]))
        return 0

    def _sections(self, root: Path, stages: bool) -> dict[str, list[list[str]]]:
        return {
            "Pipelines (doit run NAME)": pipeline_rows(root, stages=stages),
            "Tasks (doit NAME)": self._task_rows(root, stages),
            "Commands (doit help NAME)": [list(item) for item in COMMANDS.items()],
            "Components and libraries": _component_rows(root),
        }

    def _task_rows(self, root: Path, subtasks: bool) -> list[list[str]]:
        """dodo.py's tasks but for the pipelines'."""
        params = {"dodoFile": str(root / "dodo.py"), "cwdPath": None, "seek_file": False}
        self.loader.setup(params)
        tasks = self.loader.load_tasks(self, [])
        pipelines = pipeline_files(root)
        return [
            [task.name, task.doc or ""]
            for task in tasks
            if task.name.partition(":")[0] not in pipelines
            and not task.name.startswith("_")
            and (subtasks or not task.subtask_of)
        ]
