"""What all commands share: the command line as people type it, one boundary for errors, the project they work on."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from doit.cmdparse import CmdOption
from hypothesis import given
from hypothesis import strategies as st

from tooling.errors import DaintreeError, Interrupted, SettingsError, UsageError
from tooling.tasks.command import (
    JSON_OPTION,
    AnyOrderParse,
    DaintreeCommand,
    complain,
    foreign,
    guarded,
    option,
    print_json,
    typed_arguments,
)

OPTIONS = [
    option("set", "a value", type=list),
    option("source", "a path"),
    option("limit", "how many", type=int, short="l"),
    option("keep_going", "go on", type=bool, short="k", inverse="stop"),
    JSON_OPTION,
]
ROOT = Path(__file__).parents[2]


def parser() -> AnyOrderParse:
    return AnyOrderParse([CmdOption(described) for described in OPTIONS])


def parsed(*arguments: str) -> tuple[dict[str, Any], list[str]]:
    options, names = parser().parse(list(arguments))
    return {described["name"]: options[described["name"]] for described in OPTIONS}, names


def without_assignments(words: list[str]) -> list[str]:
    """What doit leaves of a command line."""
    return [word for word in words if word.startswith("-") or "=" not in word]


WORDS = st.sampled_from(
    ["run", "item2vec", "--set", "a.b=1", "x=2", "--set=c.d=3", "-n", "--json", "=", "-"]
)


@given(st.lists(WORDS, max_size=4), st.lists(WORDS, max_size=6))
def test_what_doit_took_out_is_put_back(before: list[str], words: list[str]) -> None:
    typed = [*before, "run", *words]
    restored = typed_arguments(without_assignments(words), typed)
    assert without_assignments(restored) == without_assignments(words)
    assert typed[len(typed) - len(restored) :] == restored
    assert len(restored) >= len(words)


@pytest.mark.parametrize(
    ("typed", "arguments", "restored"),
    [
        (["run", "x", "--set", "a.b=1"], ["x", "--set"], ["x", "--set", "a.b=1"]),
        (["run", "--set", "a.b=1", "x"], ["--set", "x"], ["--set", "a.b=1", "x"]),
        (["x", "--set", "a.b=1"], ["x", "--set"], ["x", "--set", "a.b=1"]),
        (["run", "--set=a.b=1", "x"], ["--set=a.b=1", "x"], ["--set=a.b=1", "x"]),
        (["run", "a=1"], [], ["a=1"]),
        (["plan", "run"], ["run"], ["run"]),
        (["v=1", "run", "run", "a=2"], ["run"], ["run", "a=2"]),
        (["something", "else"], ["x", "--json"], ["x", "--json"]),
        ([], ["x"], ["x"]),
    ],
)
def test_the_command_line_is_read_as_it_was_typed(
    typed: list[str], arguments: list[str], restored: list[str]
) -> None:
    assert typed_arguments(arguments, typed) == restored


@pytest.mark.parametrize(
    "arguments",
    [
        ["item2vec", "--set", "a.b=1", "--json", "-l", "3"],
        ["--set", "a.b=1", "--json", "--limit", "3", "item2vec"],
        ["--json", "item2vec", "--set=a.b=1", "-l3"],
        ["--js", "--limit=3", "item2vec", "--set", "a.b=1"],
    ],
)
def test_names_and_options_stand_in_any_order(arguments: list[str]) -> None:
    options, names = parsed(*arguments)
    assert names == ["item2vec"]
    assert options == {
        "set": ["a.b=1"],
        "source": "",
        "limit": 3,
        "keep_going": False,
        "json": True,
    }


def test_a_list_keeps_every_value_and_the_last_text_wins() -> None:
    options, names = parsed(
        "--set", "a=1", "x", "--source", "one", "--set", "b=-2", "--source", "-"
    )
    assert (options["set"], options["source"], names) == (["a=1", "b=-2"], "-", ["x"])
    assert parsed()[0]["set"] == []


def test_a_switch_may_have_an_opposite() -> None:
    assert parsed("-k")[0]["keep_going"] is True
    assert parsed("-k", "--stop")[0]["keep_going"] is False


def test_after_two_dashes_there_are_names_alone() -> None:
    assert parsed("--", "--json", "-x")[1] == ["--json", "-x"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nonsense"], "option --nonsense not recognized"),
        (["x", "-z"], "option -z not recognized"),
        (["--source"], "option --source requires argument"),
        (["--s", "x"], "option --s not a unique prefix"),
        (["--json=1"], "option --json must not have an argument"),
    ],
)
def test_an_option_that_cannot_be_read_is_said(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError) as failure:
        parsed(*arguments)
    assert failure.value.message == message
    assert failure.value.hint == "`doit help COMMAND` shows a command's options"


def test_a_value_of_another_type_is_said() -> None:
    with pytest.raises(UsageError) as failure:
        parsed("--limit", "many")
    assert failure.value.message == "--limit 'many': expected int"


def test_an_options_long_form_has_dashes_and_its_type_a_default() -> None:
    assert option("affects_output", "help")["long"] == "affects-output"
    assert [option("x", "", type=kind)["default"] for kind in (str, bool, int, list)] == [
        "",
        False,
        0,
        [],
    ]


def failing(error: BaseException) -> Callable[[], int]:
    def fail() -> int:
        raise error

    return fail


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (2, 2)])
def test_what_a_command_returns_is_the_exit_code(result: int | None, code: int) -> None:
    assert guarded(lambda: result) == code


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DaintreeError("wrong"), 1, "error: wrong\n"),
        (SettingsError("wrong", hint="do this"), 1, "error: wrong\nhint: do this\n"),
        (Interrupted("stopped", signal_number=15), 143, "error: stopped\n"),
        (KeyboardInterrupt(), 130, "error: interrupted; nothing half-made was kept\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/x/y"),
            1,
            "error: /x/y: No space left on device\n"
            "hint: free some disk space; `doit store` shows how large the store is\n",
        ),
        (OSError(errno.EIO, "Input/output error"), 1, "error: Input/output error\n"),
        (TimeoutError("timed out"), 1, "error: timed out\n"),
    ],
)
def test_an_error_is_one_message_on_stderr(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(failing(error)) == code
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", said)


def test_a_bug_shows_its_traceback_and_ends_with_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(failing(ZeroDivisionError("a bug"))) == 3
    output = capsys.readouterr()
    assert output.err.startswith("Traceback (most recent call last):")
    assert output.err.endswith("ZeroDivisionError: a bug\n")
    assert output.out == ""


def test_a_termination_ends_with_143_and_the_handler_before_stands_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def terminate() -> None:
        signal.raise_signal(signal.SIGTERM)

    assert guarded(terminate) == 143
    assert capsys.readouterr().err == "error: terminated; nothing half-made was kept\n"
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_has_gone_away_is_no_success_and_no_traceback(stream: str) -> None:
    script = (
        "import sys\n"
        "from tooling.tasks.command import guarded\n"
        f"sys.exit(guarded(lambda: print('x' * int(sys.argv[1]), file=sys.{stream})))\n"
    )
    for amount in ("10", "1000000"):
        reader, writer = os.pipe()
        os.close(reader)
        finished = subprocess.run(
            [sys.executable, "-c", script, amount],
            cwd=ROOT,
            check=False,
            stdout=writer if stream == "stdout" else subprocess.PIPE,
            stderr=writer if stream == "stderr" else subprocess.PIPE,
        )
        os.close(writer)
        assert finished.returncode == 141
        assert (finished.stdout or b"") + (finished.stderr or b"") == b""


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "free some disk space; `doit store` shows how large the store is"),
        (errno.EDQUOT, "your disk quota is used up; `doit store` shows how large the store is"),
        (errno.EACCES, "check the permissions"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EIO, ""),
    ],
)
def test_an_error_of_the_system_has_a_place_and_a_hint(number: int, hint: str) -> None:
    error = foreign(OSError(number, os.strerror(number), "/x/größe"))
    assert (error.message, error.hint) == (f"/x/größe: {os.strerror(number)}", hint)
    assert error.exit_code == 1


def test_a_message_without_a_hint_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    complain(UsageError("wrong"))
    assert capsys.readouterr().err == "error: wrong\n"


def test_json_is_alone_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "größe", "list": [1]})
    assert capsys.readouterr() == ('{\n  "name": "größe",\n  "list": [\n    1\n  ]\n}\n', "")


class Greet(DaintreeCommand):
    """Says what it was asked."""

    doc_purpose = "greet"
    doc_usage = "NAME [OTHER] [--json]"
    cmd_options = (JSON_OPTION, option("set", "a value", type=list))
    names = (1, 2)

    def work(self, options: Mapping[str, Any], names: list[str]) -> int | None:
        """Print the arguments."""
        print(names, options["set"], options["json"])
        return 7 if options["json"] else None


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["a"], 0, "['a'] [] False\n"),
        (["--json", "a", "b"], 7, "['a', 'b'] [] True\n"),
        (["a", "--set=x=1", "b"], 0, "['a', 'b'] ['x=1'] False\n"),
    ],
)
def test_a_command_gets_its_options_and_names(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Greet().parse_execute(arguments) == code
    assert capsys.readouterr() == (said, "")


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


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_help(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert Greet().parse_execute([flag]) == 0
    said = capsys.readouterr().out
    assert "NAME [OTHER] [--json]" in said
    assert "print JSON, for programs" in said


def test_a_command_knows_its_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dodo.py").touch()
    (tmp_path / "pyproject.toml").write_text("[tool.daintree]\nplatform = 'linux/arm64'\n")
    (tmp_path / "pipelines").mkdir()
    monkeypatch.chdir(tmp_path / "pipelines")
    command = Greet()
    assert command.root == tmp_path
    assert command.settings.platform == "linux/arm64"
