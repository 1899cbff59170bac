from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from daintree.commands.project_tasks import run_component_tests
from daintree.errors import EnvironmentFailed, UsageError

REPOSITORY = Path(__file__).parents[2]

Files = dict[str, str]


class Wheels(Protocol):
    directory: Path

    def add(self, name: str, version: str, **more: Any) -> str: ...


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    locked = root / "requirements" / "component-tests.txt"
    locked.parent.mkdir(parents=True)
    locked.write_bytes((REPOSITORY / "requirements" / "component-tests.txt").read_bytes())
    return root


@pytest.fixture
def add(project: Path) -> Callable[[str, Files], Path]:
    """Writes a component or library of the given files."""

    def write(name: str, files: Files) -> Path:
        for path, content in files.items():
            file = project / "components" / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
        return project / "components" / name

    return write


def run(project: Path, name: str, environments: Path, *arguments: str) -> tuple[int, str]:
    lines: list[str] = []
    code = run_component_tests(project, name, environments, lines.append, arguments=arguments)
    return code, "\n".join(lines)


COMPONENT = {
    "Dockerfile": "FROM python:3.11-slim\n",
    "component.yaml": "uses: [lib/words]\n",
    "main.py": "import words\nGREETING = words.HELLO\n",
}


def test_a_component_is_tested_with_its_libraries_beside_it(
    project: Path, add: Callable[[str, Files], Path], environments: Path
) -> None:
    add("lib/words", {"__init__.py": "HELLO = 'hello'\n", "tests/test_words.py": "broken syntax"})
    test = (
        "import os, main, words\n"
        "from helper import expected\n"
        "def test_greeting(tmp_path):\n"
        "    assert main.GREETING == expected()\n"
        "    assert sorted(os.listdir('.')) == ['Dockerfile', 'component.yaml', 'main.py', 'tests', 'words']\n"
        "    assert not os.path.exists('words/tests')\n"
    )
    directory = add(
        "shop/greet",
        {
            **COMPONENT,
            "tests/test_main.py": test,
            "tests/helper.py": "def expected():\n    return 'hello'\n",
        },
    )
    before = sorted(project.rglob("*"))
    code, printed = run(project, "shop/greet", environments)
    assert "1 passed" in printed
    assert code == 0
    assert sorted(project.rglob("*")) == before
    assert directory.is_dir()


def test_a_library_is_tested_under_its_own_name(
    project: Path, add: Callable[[str, Files], Path], environments: Path
) -> None:
    add(
        "lib/words",
        {
            "__init__.py": "HELLO = 'hello'\n",
            "tests/test_words.py": "import words\ndef test_hello():\n    assert words.HELLO == 'hello'\n",
        },
    )
    code, printed = run(project, "lib/words", environments)
    assert "1 passed" in printed
    assert code == 0


def test_a_failing_test_is_shown_and_counts(
    project: Path, add: Callable[[str, Files], Path], environments: Path
) -> None:
    add(
        "shop/fails",
        {
            **COMPONENT,
            "component.yaml": "",
            "tests/test_main.py": "def test_sum():\n    assert 1 + 1 == 3\n",
        },
    )
    code, printed = run(project, "shop/fails", environments)
    assert code == 1
    assert "assert (1 + 1) == 3" in printed


def test_the_components_own_packages_win(
    project: Path,
    add: Callable[[str, Files], Path],
    environments: Path,
    wheels: Wheels,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # pytest brings an iniconfig of its own; the component has pinned another one.
    line = wheels.add(
        "iniconfig",
        "0.1",
        files={
            "iniconfig.py": "class IniConfig: pass\nOURS = True\nSectionWrapper = ParseError = IniConfig\n"
        },
    )
    test = "import iniconfig\ndef test_ours():\n    assert iniconfig.OURS\n"
    add(
        "shop/pins",
        {
            **COMPONENT,
            "component.yaml": "",
            "requirements.txt": line + "\n",
            "tests/test_main.py": test,
        },
    )
    # pytest itself still comes from the usual index.
    for name in ("UV_OFFLINE", "UV_CACHE_DIR", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(name)
    code, printed = run(project, "shop/pins", environments)
    assert code == 0, printed


def test_arguments_go_to_pytest(
    project: Path, add: Callable[[str, Files], Path], environments: Path
) -> None:
    test = "def test_one(): pass\ndef test_two(): pass\n"
    add("shop/two", {**COMPONENT, "component.yaml": "", "tests/test_main.py": test})
    _, printed = run(project, "shop/two", environments, "-k", "two")
    assert "1 passed, 1 deselected" in printed


@pytest.mark.parametrize("files", [{}, {"tests/empty.txt": ""}, {"tests/test_main.py": ""}])
def test_a_component_without_tests_is_said(
    project: Path, add: Callable[[str, Files], Path], environments: Path, files: Files
) -> None:
    add("shop/bare", {**COMPONENT, "component.yaml": "", **files})
    code, printed = run(project, "shop/bare", environments)
    assert code == 0
    assert printed.splitlines()[-1] == (
        "shop/bare has no tests: write components/shop/bare/tests/test_main.py"
    )


def test_an_unknown_component(project: Path, environments: Path) -> None:
    with pytest.raises(UsageError, match="there is no component or library 'shop/none'"):
        run(project, "shop/none", environments)


def test_a_project_without_pytests_lock(
    project: Path, add: Callable[[str, Files], Path], environments: Path
) -> None:
    add("shop/any", {**COMPONENT, "component.yaml": "", "tests/test_main.py": ""})
    (project / "requirements" / "component-tests.txt").unlink()
    with pytest.raises(EnvironmentFailed, match=r"requirements/component-tests.txt is missing"):
        run(project, "shop/any", environments)


def test_caches_are_not_copied(
    project: Path, add: Callable[[str, Files], Path], environments: Path
) -> None:
    test = "import os\ndef test_copy():\n    assert sorted(os.listdir('.')) == ['Dockerfile', 'component.yaml', 'main.py', 'tests']\n"
    add(
        "shop/clean",
        {
            **COMPONENT,
            "component.yaml": "",
            "tests/test_main.py": test,
            "__pycache__/main.pyc": "",
            ".mypy_cache/x": "",
        },
    )
    assert run(project, "shop/clean", environments)[0] == 0
