"""The tests of one component, run in the component's own environment."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from daintree.authoring.lock_requirements import used_libraries
from daintree.components import TOP, discover_libraries, read_description
from daintree.errors import EnvironmentFailed
from daintree.runners.child_process import ChildFailed, run_child
from daintree.runners.environments import Environments, find_python
from daintree.runners.interpreter import bytecode_directory, site_packages
from daintree.runners.variables import stage_variables

TESTS = "tests"
# pytest's own environment, for every component the same.
TEST_REQUIREMENTS = Path("requirements", "component-tests.txt")

_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*_cache", ".venv", ".git")
_NO_TESTS_COLLECTED = 5

# As `python -m pytest` does, but pytest and what it needs come last: where a component has pinned
# the same package, the tests see the component's.
_PYTEST = "import sys; sys.path.append(sys.argv.pop(1)); import pytest; sys.exit(pytest.main())"


def _print(line: str) -> None:
    print(line, flush=True)


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
