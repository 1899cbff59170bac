"""What a command is given: its options and names, its help, the project it works on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from daintree.commands.command import DaintreeCommand, option, print_json, shared


def test_json_is_alone_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "größe", "list": [1]})
    assert capsys.readouterr() == ('{\n  "name": "größe",\n  "list": [\n    1\n  ]\n}\n', "")


class Greet(DaintreeCommand):
    """Says what it was asked."""

    doc_purpose = "greet"
    doc_usage = "NAME [OTHER] [--json]"
    cmd_options = (*shared("json"), option("set", "a value", type=list))
    names = (1, 2)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int | None:
        print(names, options["set"], options["json"])
        return 7 if options["json"] else None


@pytest.mark.parametrize(
    ("arguments", "code", "printed"),
    [
        (["a"], 0, "['a'] [] False\n"),
        (["--json", "a", "b"], 7, "['a', 'b'] [] True\n"),
        (["a", "--set=x=1", "b"], 0, "['a', 'b'] ['x=1'] False\n"),
    ],
)
def test_a_command_gets_its_options_and_names(
    arguments: list[str], code: int, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Greet().parse_execute(arguments) == code
    assert capsys.readouterr() == (printed, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "too few names"), (["a", "b", "c"], "'c' is one name too many")],
)
def test_a_command_takes_so_many_names(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Greet().parse_execute(arguments) == 1
    assert capsys.readouterr().err == (
        f"error: doit greet: {message}\nhint: doit greet NAME [OTHER] [--json]\n"
    )


def test_doits_settings_give_an_options_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert Greet(config={"greet": {"json": True}}).parse_execute(["a"]) == 7


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_help(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert Greet().parse_execute([flag]) == 0
    printed = capsys.readouterr().out
    assert "NAME [OTHER] [--json]" in printed
    assert "print JSON, for programs" in printed


def test_a_command_knows_its_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dodo.py").touch()
    (tmp_path / "pyproject.toml").write_text("[tool.daintree]\nplatform = 'linux/arm64'\n")
    (tmp_path / "pipelines").mkdir()
    monkeypatch.chdir(tmp_path / "pipelines")
    command = Greet()
    assert command.root == tmp_path
    assert command.settings.platform == "linux/arm64"
