"""The command line as people type it: names and options in any order, values with an equals sign."""

from __future__ import annotations

from typing import Any

import pytest
from doit.cmdparse import CmdOption
from hypothesis import given
from hypothesis import strategies as st

from daintree.commands.command import AnyOrderParse, option, shared, typed_arguments
from daintree.errors import UsageError

OPTIONS = [
    option("set", "a value", type=list),
    option("source", "a path"),
    option("limit", "how many", type=int, short="l"),
    option("keep_going", "go on", type=bool, short="k", inverse="stop"),
    *shared("json"),
]


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
