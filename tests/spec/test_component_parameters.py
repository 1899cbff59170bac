"""Parameter values: what fits, what text means, and how a value travels to a component and back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daintree.spec.component import (
    MAX_INT,
    Param,
    ParamType,
    Scalar,
    as_argument,
    canonical,
    parse_value,
    value_problem,
)

PARAMS: dict[ParamType, Param] = {
    "int": Param(type="int"),
    "float": Param(type="float"),
    "str": Param(type="str"),
    "bool": Param(type="bool"),
}
VALUES: dict[ParamType, st.SearchStrategy[Scalar]] = {
    "int": st.integers(-MAX_INT, MAX_INT),
    "float": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-MAX_INT, MAX_INT),
    "str": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    "bool": st.booleans(),
}
KINDS = st.sampled_from(sorted(PARAMS))
TYPED = KINDS.flatmap(lambda kind: st.tuples(st.just(kind), VALUES[kind]))
ANYTHING = st.booleans() | st.integers() | st.floats() | st.text(st.characters())


@given(TYPED)
def test_a_fitting_value_survives_the_way_through_a_command_line(
    typed: tuple[ParamType, Scalar],
) -> None:
    kind, value = typed
    param = PARAMS[kind]
    assert value_problem(value, param) == ""
    fixed = canonical(value, param)
    assert repr(parse_value(as_argument(fixed), param)) == repr(fixed)


@given(KINDS, ANYTHING)
def test_a_value_fits_only_its_own_type(kind: ParamType, value: Scalar) -> None:
    allowed = {kind, "int"} if kind == "float" else {kind}
    if not value_problem(value, PARAMS[kind]):
        assert type(value).__name__ in allowed
        assert type(canonical(value, PARAMS[kind])).__name__ == kind


@given(KINDS, st.text(st.characters()))
def test_any_text_is_a_value_or_a_value_error(kind: ParamType, text: str) -> None:
    try:
        value = parse_value(text, PARAMS[kind])
    except ValueError as error:
        reasons = "^expected |^a number beyond|^a NUL|is not a finite number|is not UTF-8 text"
        assert re.search(reasons, str(error))
    else:
        assert type(value).__name__ == kind


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        ("int", "20", "expected int, got str '20', leave out the quotes"),
        ("int", "x", "expected int, got str 'x'"),
        ("int", True, "expected int, got bool True"),
        ("int", 1.0, "expected int, got float 1.0"),
        ("float", "x", "expected float, got str 'x'"),
        ("float", False, "expected float, got bool False"),
        ("bool", "no", "expected bool, got str 'no', write true or false"),
        ("bool", 1, "expected bool, got int 1, write true or false"),
        ("str", 12, "expected str, got int 12, quote it"),
        ("str", True, "expected str, got bool True, quote it"),
        ("float", float("nan"), "nan is not a finite number"),
        ("float", float("-inf"), "-inf is not a finite number"),
        ("int", MAX_INT + 1, "a number beyond 64 bits cannot be recorded"),
        ("float", 10**400, "a number beyond 64 bits cannot be recorded"),
        ("str", "a\0b", "a NUL character cannot be passed to a program"),
        ("str", "\udcff", "'\\udcff' is not UTF-8 text"),
    ],
)
def test_what_does_not_fit_is_said(kind: ParamType, value: Scalar, problem: str) -> None:
    assert value_problem(value, PARAMS[kind]) == problem


def test_a_value_outside_the_choices_is_said_with_the_choices() -> None:
    param = Param(type="str", choices=("fail", "skip"))
    assert value_problem("skip", param) == ""
    assert value_problem("stop", param) == "'stop' is none of fail, skip"


def test_a_whole_number_is_among_a_float_parameters_choices() -> None:
    param = Param(type="float", choices=(0.5, 1.0))
    assert value_problem(1, param) == ""
    assert repr(canonical(1, param)) == "1.0"


@pytest.mark.parametrize(("text", "value"), [("TRUE", True), ("False", False)])
def test_truth_is_read_in_any_case(text: str, value: bool) -> None:
    assert parse_value(text, PARAMS["bool"]) is value


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("bool", "1", "expected true or false, got '1'"),
        ("int", "2.0", "expected a whole number, got '2.0'"),
        ("int", "", "expected a whole number, got ''"),
        ("float", "1,5", "expected a number, got '1,5'"),
    ],
)
def test_text_that_means_no_value_is_said(kind: ParamType, text: str, message: str) -> None:
    with pytest.raises(ValueError, match="expected") as failure:
        parse_value(text, PARAMS[kind])
    assert str(failure.value) == message


def test_text_stays_what_it_is() -> None:
    text = "'; touch /tmp/x; #"
    assert parse_value(text, PARAMS["str"]) == as_argument(text) == text


def test_truth_is_written_in_lower_case() -> None:
    assert [as_argument(True), as_argument(False)] == ["true", "false"]
