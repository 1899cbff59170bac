from __future__ import annotations

import pytest

from daintree.components.version import transitive_libraries
from daintree.errors import SpecError


def test_libraries_of_libraries_count_once_and_in_order() -> None:
    uses = {
        "train": ["lib/b", "lib/a"],
        "lib/b": ["lib/a", "lib/c"],
        "lib/a": [],
        "lib/c": ["lib/a"],
    }
    assert transitive_libraries("train", uses.__getitem__) == ("lib/a", "lib/b", "lib/c")


def test_none() -> None:
    assert transitive_libraries("train", lambda name: []) == ()


@pytest.mark.parametrize(
    ("uses", "circle"),
    [
        ({"x": ["lib/a"], "lib/a": ["lib/a"]}, "lib/a uses lib/a"),
        (
            {"x": ["lib/a"], "lib/a": ["lib/b"], "lib/b": ["lib/c"], "lib/c": ["lib/a"]},
            "lib/a uses lib/b uses lib/c uses lib/a",
        ),
    ],
)
def test_a_circle_is_an_error_that_shows_it(uses: dict[str, list[str]], circle: str) -> None:
    with pytest.raises(SpecError, match=circle) as caught:
        transitive_libraries("x", uses.__getitem__)
    last = circle.split(" uses ")[-2]
    assert caught.value.message == (
        f"components/{last}/component.yaml: a circle of libraries: {circle}"
    )
    assert caught.value.hint
