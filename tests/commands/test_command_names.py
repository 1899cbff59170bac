"""The names that no pipeline may have."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from doit.doit_cmd import DoitMain

from daintree.commands.command import COMMANDS, DOIT_COMMANDS, reserved_names


def test_every_command_of_doit_and_of_the_tooling_is_reserved() -> None:
    of_doit = {command.name or command.__name__.lower() for command in DoitMain.DOIT_CMDS}
    ours = {point.name for point in entry_points(group="doit.COMMAND")}
    assert of_doit | ours <= set(COMMANDS) | set(DOIT_COMMANDS)
    assert set(COMMANDS) <= of_doit | ours, "what is listed exists"


def test_the_projects_own_tasks_are_reserved_without_running_it(tmp_path: Path) -> None:
    (tmp_path / "dodo.py").write_text("raise SystemExit\ndef task_lint(): ...\ntask_test_all = 1\n")
    assert {"lint", "test_all", "run", "forget"} <= reserved_names(tmp_path)


def test_there_may_be_no_dodo_file(tmp_path: Path) -> None:
    assert "lint" not in reserved_names(tmp_path)
    assert reserved_names(tmp_path) >= set(COMMANDS)
