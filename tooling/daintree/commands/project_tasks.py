"""The tasks that a project's dodo.py offers: its pipelines as doit tasks, its tests, its quality gates."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from daintree.authoring.lock_requirements import used_libraries
from daintree.commands.command import complain, guarded, reserved_names
from daintree.commands.doit_adapter import PIPELINE
from daintree.commands.reference import outdated_pages, write_pages
from daintree.components import TOP, discover_components, discover_libraries, read_description
from daintree.errors import DaintreeError, EnvironmentFailed
from daintree.runners.child_process import ChildFailed, run_child
from daintree.runners.environments import Environments, find_python
from daintree.runners.runner import bytecode_directory, site_packages
from daintree.runners.variables import stage_variables
from daintree.settings import find_project, install_command, read_settings
from daintree.spec.pipeline import Pipeline, load_pipeline, pipeline_files

TESTS = "tests"
# pytest's own environment, for every component the same.
TEST_REQUIREMENTS = Path("requirements", "component-tests.txt")

_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*_cache", ".venv", ".git")
_NO_TESTS_COLLECTED = 5

# As `python -m pytest` does, but pytest and what it needs come last: where a component has pinned
# the same package, the tests see the component's.
_PYTEST = "import sys; sys.path.append(sys.argv.pop(1)); import pytest; sys.exit(pytest.main())"

LINTERS: dict[str, list[str]] = {
    "format": ["ruff", "format", "--check"],
    "rules": ["ruff", "check", "."],
    "types": ["mypy"],
    "layers": ["lint-imports"],
    "locks": ["doit", "lock", "--check"],
}

# A program whose module, and table in pyproject.toml, has another name; a project without the table does without the check.
MODULES = {"lint-imports": "importlinter"}


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
        if MODULES.get(program, program) not in {*configured, "doit"}:
            continue
        if name == "format":
            left_out = [] if settings.format_components else ["--exclude", "components,pipelines"]
            arguments += [".", *left_out]
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
            yield {
                **task,
                "doc": f"BROKEN: {error.message}",
                "actions": [_tool("doit", "run", name)],
            }


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
            "actions": [_tool("doit", "run", target)],
            "meta": meta,
            "verbosity": 2,
        }


def _tool(program: str, *arguments: str) -> list[str] | tuple[Any, list[Any]]:
    """A development tool of this environment as an action; when it is not installed, an error that says how."""
    if importlib.util.find_spec(MODULES.get(program, program)) is None:
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
    outdated = outdated_pages(find_project(Path.cwd()))
    for path in outdated:
        complain(DaintreeError(f"{path} is not what the code says", hint="doit reference"))
    return not outdated


def _component_tests(name: str) -> bool:
    root = find_project(Path.cwd())
    settings = read_settings(root)
    return guarded(lambda: run_component_tests(root, name, settings.environments)) == 0


_print = partial(print, flush=True)


def run_component_tests(
    root: Path,
    name: str,
    environments: Path,
    on_line: Callable[[str], None] = _print,
    *,
    arguments: Sequence[str] = (),
) -> int:
    """Run the tests of a component or library as it lies on disk; returns pytest's exit code.

    They see what the component sees when it runs: its files with its libraries beside them, in a
    copy, the packages of its requirements.txt, and the variables of a stage. `environments` is the
    directory of the environments; `arguments` go to pytest. Where there are no tests, `on_line`
    gets a line that says so, and the result is 0. The working tree is not written to.

    Raises UsageError for an unknown name, SpecError, EnvironmentFailed.
    """
    libraries = used_libraries(root, name)
    directory = root / TOP / name
    if not (directory / TESTS).is_dir():
        on_line(_without_tests(name))
        return 0
    made = Environments(environments, find_python(read_description(root, name).python))
    python = made.ensure(directory / "requirements.txt", on_line)
    packages = _pytest_packages(root, made, on_line)
    with tempfile.TemporaryDirectory(prefix="component-tests-") as place:
        scratch = Path(os.path.realpath(place))
        tests = _assemble(root, name, libraries, scratch / "component")
        command = [str(python), "-c", _PYTEST, str(packages), "-p", "no:cacheprovider"]
        command += ["--rootdir", ".", "--basetemp", str(scratch / "basetemp"), *arguments, tests]
        code = _run(command, python, scratch, on_line)
        # Kept by path, the bytecode of this copy will never be read again.
        shutil.rmtree(bytecode_directory(python) / scratch.relative_to("/"), ignore_errors=True)
    if code == _NO_TESTS_COLLECTED:
        on_line(_without_tests(name))
        return 0
    return code


def _pytest_packages(root: Path, made: Environments, on_line: Callable[[str], None]) -> Path:
    if not (root / TEST_REQUIREMENTS).is_file():
        raise EnvironmentFailed(
            f"{TEST_REQUIREMENTS} is missing", hint="pytest, hash-locked, has to be in it"
        )
    return site_packages(made.ensure(root / TEST_REQUIREMENTS, on_line))


def _assemble(root: Path, name: str, libraries: Sequence[str], target: Path) -> str:
    """Copy `name` and its libraries as an image has them, with tests; returns where these are."""
    last = name.rpartition("/")[2]
    inner = last if name in discover_libraries(root) else ""
    shutil.copytree(root / TOP / name, target / inner, symlinks=True, ignore=_LEFT_OUT)
    for library in libraries:
        copy = target / library.rpartition("/")[2]
        shutil.copytree(root / TOP / library, copy, symlinks=True, ignore=_LEFT_OUT)
        shutil.rmtree(copy / TESTS, ignore_errors=True)
    return os.path.join(inner, TESTS)


def _run(
    command: Sequence[str], python: Path, scratch: Path, on_line: Callable[[str], None]
) -> int:
    temporary = scratch / "temporary"
    temporary.mkdir()
    try:
        return run_child(
            command,
            env=stage_variables(os.environ, python, temporary),
            cwd=scratch / "component",
            log=scratch / "log.txt",
            on_line=on_line,
        ).exit_code
    except ChildFailed as error:
        raise EnvironmentFailed(f"pytest {error}") from error


def _without_tests(name: str) -> str:
    return f"{name} has no tests: write {TOP}/{name}/{TESTS}/test_main.py"
