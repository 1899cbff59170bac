"""The program `doit` where the file that doit reads first is not in order."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

PROGRAM = "import sys; sys.argv = ['doit', 'list']; from daintree.commands.main import main; main()"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[tool\n", "Expected ']' at the end of a table declaration (at line 1, column 6)"),
        (b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (b"tool = 3\n", "'int' object has no attribute 'get'"),
        (b"[tool.doit.plugins.colour]\n", "AssertionError"),
    ],
)
def test_a_broken_file_is_one_message(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "pyproject.toml").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True
    )
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (1, "", 2)
    assert lines[0] == f"error: pyproject.toml cannot be read: {reason}"
    assert lines[1].startswith("hint: mend the file")


@pytest.mark.parametrize("module", ["doit.doit_cmd", "daintree.commands.run"])
def test_an_interrupt_while_modules_are_imported_is_one_message(module: str) -> None:
    interrupt = f"""
import sys, importlib.abc
class Interrupted(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
"""
    done = subprocess.run(
        [sys.executable, "-c", f"{interrupt}{PROGRAM.replace('list', 'run')}"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    message = "error: interrupted; nothing half-made was kept\n"
    assert (done.returncode, done.stdout, done.stderr) == (130, "", message)


def test_the_program_is_this_one() -> None:
    values = [entry.value for entry in entry_points(group="console_scripts", name="doit")]
    assert "daintree.commands.main:main" in values
