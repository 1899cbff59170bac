from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daintree.errors import EnvironmentFailed
from daintree.runners import with_python
from daintree.runners.runner import environment_class, inspect_interpreter


def stand_in(path: Path, *lines: str) -> Path:
    """A program that answers as a Python would."""
    text = "\\n".join(lines)
    path.write_text(f"#!/bin/sh\nprintf '{text}\\n'\n")
    path.chmod(0o755)
    return path


def test_the_environment_class_names_python_and_platform() -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert environment_class() == f"venv-{version}-{sys.platform}-{os.uname().machine}"


def test_another_python_is_asked(tmp_path: Path) -> None:
    python = stand_in(tmp_path / "python", "3", "13", "2", "darwin", "arm64", "/opt/python3.13")
    assert environment_class(python=python) == "venv-3.13-darwin-arm64"
    assert inspect_interpreter(str(python)) == ((3, 13, 2), "darwin-arm64", "/opt/python3.13")


def test_asking_gives_what_the_running_one_knows(tmp_path: Path) -> None:
    link = tmp_path / "python"
    link.symlink_to(os.path.realpath(sys.executable))
    assert inspect_interpreter(str(link)) == inspect_interpreter(sys.executable)


def test_a_python_that_is_too_old(tmp_path: Path) -> None:
    python = stand_in(tmp_path / "python", "3", "10", "9", "linux", "x86_64", "/p")
    with pytest.raises(EnvironmentFailed, match=r"python: is Python 3\.10") as failure:
        environment_class(python=python)
    assert failure.value.hint == "the oldest supported is 3.11"


def test_no_python_at_all(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="No such file or directory"):
        environment_class(python=tmp_path / "python")
    with pytest.raises(EnvironmentFailed, match="is not a Python that works"):
        environment_class(python=stand_in(tmp_path / "other", "hello"))


def test_the_classes_cost_of_the_running_python_is_no_process() -> None:
    """A no-op run asks for it: nothing may be started, nor what starts things be imported."""
    source = (
        "import sys\nfrom pathlib import Path\nfrom daintree.runners.local import LocalRunner\n"
        "from daintree.settings import read_settings\nfrom daintree.spec.component import ComponentSpec\n"
        "settings = read_settings(Path('/project'), {'HOME': '/home'})\n"
        "print(LocalRunner(settings).environment_class(ComponentSpec()))\n"
        "print(*sorted({'subprocess', 'shutil', 'uv', 'daintree.runners.child_process'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", source],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "tooling")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [environment_class(), ""]


def test_a_component_s_python_is_known_on_another_machine_too() -> None:
    assert with_python("venv-3.11-linux-x86_64", "3.12") == "venv-3.12-linux-x86_64"
    assert with_python("venv-3.11-linux-x86_64", "") == "venv-3.11-linux-x86_64"
    assert with_python("image", "3.12") == "image"
