from __future__ import annotations

import pytest

from daintree.errors import nearest


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("trian", "did you mean 'train'?"),
        ("Train", "did you mean 'train'?"),
        ("clean-csv", "did you mean 'clean'?"),
        ("zzz", "there are: clean, evaluate, train"),
        ("", "there are: clean, evaluate, train"),
    ],
)
def test_the_nearest_name_or_else_all_of_them(name: str, hint: str) -> None:
    assert nearest(name, ["train", "clean", "evaluate"]) == hint


def test_what_is_said_otherwise_stands_for_the_names() -> None:
    assert nearest("zzz", ["train"], otherwise="doit list") == "doit list"
    assert nearest("trian", ["train"], otherwise="doit list") == "did you mean 'train'?"


def test_nothing_to_suggest_is_no_hint() -> None:
    assert nearest("x", []) == ""


def test_a_long_list_says_that_it_goes_on() -> None:
    names = [f"stage{number:02}" for number in range(13)]
    assert nearest("", names[:12]) == "there are: " + ", ".join(names[:12])
    assert nearest("", names) == "there are: " + ", ".join(names[:12]) + ", …"
