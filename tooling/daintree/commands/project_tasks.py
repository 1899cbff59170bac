"""The tasks that a project's dodo.py offers: its pipelines as doit tasks, its tests, its quality gates."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daintree.authoring.component_tests import run_component_tests
from daintree.commands.command import complain, guarded, reserved_names
from daintree.commands.doit_adapter import PIPELINE
from daintree.commands.reference import outdated_pages, write_pages
from daintree.components import discover_components, discover_libraries
from daintree.errors import DaintreeError
from daintree.installation import install_command
from daintree.settings import find_project, read_settings
from daintree.spec.pipeline import Pipeline, load_pipeline, pipeline_files

LINTERS: dict[str, list[str]] = {
    "format": ["ruff", "format", "--check"],
    "rules": ["ruff", "check", "."],
    "types": ["mypy"],
    "layers": ["lint-imports"],
    "locks": ["doit", "lock", "--check"],
}

# A program whose table in pyproject.toml has another name; a project without the table does without the check.
CONFIGURED_BY = {"lint-imports": "importlinter"}


def task_test() -> Iterator[dict[str, Any]]:
    """run the project's tests, and each component's in its own environment"""
    root = find_project(Path.cwd())
    if (root / "tests").is_dir():
        tooling = _holds_tooling(root)
        command = _tool("pytest", *(["-n", "auto"] if tooling else []), "tests")
        name = "tooling" if tooling else "project"
        yield {"name": name, "doc": f"test the {name}", "actions": [command], "verbosity": 2}
    for name in [*discover_libraries(root), *discover_components(root)]:
        yield {
            "name": name,
            "doc": f"test {name} in its own environment",
            "actions": [(_component_tests, [name])],
            "verbosity": 2,
        }


def task_lint() -> Iterator[dict[str, Any]]:
    """check locked requirements, and what the project has set up of format, rules, types and layers"""
    root = find_project(Path.cwd())
    settings = read_settings(root)
    if _holds_tooling(root):
        yield {
            "name": "reference",
            "doc": "the reference pages are what the code says",
            "actions": [_check_reference],
            "verbosity": 2,
        }
    configured = _configured_tools(root)
    for name, (program, *arguments) in LINTERS.items():
        if CONFIGURED_BY.get(program, program) not in {*configured, "doit"}:
            continue
        if name == "format":
            arguments += [
                ".",
                *([] if settings.format_components else ["--exclude", "components,pipelines"]),
            ]
        yield {
            "name": name,
            "doc": " ".join((program, *arguments)),
            "actions": [_tool(program, *arguments)],
            "verbosity": 2,
        }


def _holds_tooling(root: Path) -> bool:
    return (root / "tooling" / "daintree").is_dir()


def _configured_tools(root: Path) -> frozenset[str]:
    """The names of the tables `[tool.…]` in the project's pyproject.toml, which was read before."""
    import tomllib

    try:
        table = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return frozenset()
    return frozenset(table.get("tool", {}))


def task_reference() -> dict[str, Any]:
    """make the reference pages from the code"""
    return {"actions": [_write_reference], "verbosity": 2}


def task_pipelines() -> Iterator[dict[str, Any]]:
    """run every pipeline"""
    root = find_project(Path.cwd())
    reserved = reserved_names(root)
    yield {"basename": "pipelines", "name": None, "doc": "run every pipeline"}
    for name in pipeline_files(root):
        task: dict[str, Any] = {"basename": "pipelines", "name": name, "meta": {PIPELINE: name}}
        try:
            yield from _pipeline_tasks(load_pipeline(root, name, reserved))
            yield {**task, "doc": f"run {name}", "actions": None, "task_dep": [name]}
        except DaintreeError as error:
            yield {**task, "doc": f"BROKEN: {error.message}", "actions": [[*_doit(), "run", name]]}


def _pipeline_tasks(pipeline: Pipeline) -> Iterator[dict[str, Any]]:
    """The tasks as `doit info` and `doit list` see them; `doit run` plans them and decides what is up to date."""
    meta = {PIPELINE: pipeline.name}
    yield {"basename": pipeline.name, "name": None, "doc": pipeline.description or None}
    for stage in pipeline.stages:
        target = f"{pipeline.name}:{stage.name}"
        yield {
            "basename": pipeline.name,
            "name": stage.name,
            "doc": stage.code,
            "task_dep": [f"{pipeline.name}:{need}" for need in stage.needs],
            "actions": [[*_doit(), "run", target]],
            "meta": meta,
            "verbosity": 2,
        }


def _doit() -> list[str]:
    return [sys.executable, "-m", "doit"]


def _tool(program: str, *arguments: str) -> list[str] | tuple[Any, list[Any]]:
    """A development tool of this environment as an action; when it is not installed, an error that says how."""
    modules = {
        "pytest": "pytest",
        "ruff": "ruff",
        "mypy": "mypy",
        "lint-imports": "importlinter",
        "doit": "doit",
    }
    if importlib.util.find_spec(modules[program]) is None:
        return (_not_installed, [program])
    if program == "lint-imports":
        start = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
        return [sys.executable, "-c", start, *arguments]
    return [sys.executable, "-m", program, *arguments]


def _not_installed(program: str) -> bool:
    complain(DaintreeError(f"{program} is not installed", hint=install_command("test")))
    return False


def _write_reference() -> None:
    for path in write_pages(find_project(Path.cwd())):
        print(path)


def _check_reference() -> bool:
    for path in outdated_pages(find_project(Path.cwd())):
        complain(DaintreeError(f"{path} is not what the code says", hint="doit reference"))
        return False
    return True


def _component_tests(name: str) -> bool:
    root = find_project(Path.cwd())
    settings = read_settings(root)
    return guarded(lambda: run_component_tests(root, name, settings.environments)) == 0
