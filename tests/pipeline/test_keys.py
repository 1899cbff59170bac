"""Stage keys are pinned, and differ exactly where a stage's output may differ."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from daintree.pipeline.keys import content_key, recipe_key

VALUES = (
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
Parameters = Mapping[str, bool | int | float | str]
PARAMETERS = st.dictionaries(st.text(min_size=1), VALUES, max_size=4)
RECIPE = {
    "version": "sha256:" + "1" * 64,
    "parameters": {"epochs": 50, "rate": 0.025, "name": "x", "flag": True},
    "environment": "venv-3.11-linux-x86_64",
    "needs": {"clean": "sha256:" + "2" * 64},
    "sources": {},
}
PINNED_RECIPE = "sha256:a32f89cb4303e277040d4ab94ff2736c5da24f3e93ad7136ef52c6278aceacfc"
PINNED_CONTENT = "sha256:3ef95d3a9061e032556383552bccea66eb43bce899fb10f3f47c3737b643b75f"


def test_the_recipe_key_is_what_it_always_was() -> None:
    assert recipe_key(**RECIPE) == PINNED_RECIPE  # type: ignore[arg-type]


def test_the_content_key_is_what_it_always_was() -> None:
    key = content_key(
        version=RECIPE["version"],  # type: ignore[arg-type]
        parameters=RECIPE["parameters"],  # type: ignore[arg-type]
        environment="image",
        inputs={"a": "sha256:" + "3" * 64, "b": "sha256:" + "4" * 64},
    )
    assert key == PINNED_CONTENT


def test_every_part_of_a_recipe_counts() -> None:
    changes = {
        "version": "sha256:" + "9" * 64,
        "parameters": {**RECIPE["parameters"], "epochs": 20},  # type: ignore[dict-item]
        "environment": "image",
        "needs": {"other": "sha256:" + "2" * 64},
        "sources": {"": "sha256:" + "5" * 64},
    }
    keys = {recipe_key(**{**RECIPE, name: value}) for name, value in changes.items()}  # type: ignore[arg-type]
    assert len(keys | {PINNED_RECIPE}) == len(changes) + 1


def test_a_single_input_has_no_name_but_several_have() -> None:
    def key(inputs: Mapping[str, str]) -> str:
        return content_key(version="v", parameters={}, environment="image", inputs=inputs)

    assert key({"load": "d"}) == key({"read": "d"})
    assert key({"a": "d", "b": "e"}) != key({"a": "e", "b": "d"})


@given(PARAMETERS, PARAMETERS)
def test_different_parameters_have_different_keys(one: Parameters, other: Parameters) -> None:
    def key(parameters: Parameters) -> str:
        return content_key(
            version="v", parameters=parameters, environment="image", inputs={"": "d"}
        )

    same = repr(sorted(one.items())) == repr(sorted(other.items()))
    assert (key(one) == key(other)) is same


@given(PARAMETERS)
def test_a_recipe_key_is_never_a_content_key(parameters: Parameters) -> None:
    content = content_key(version="v", parameters=parameters, environment="image", inputs={})
    recipe = recipe_key(
        version="v", parameters=parameters, environment="image", needs={}, sources={}
    )
    assert content != recipe
