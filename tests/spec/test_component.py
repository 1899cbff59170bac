"""Component files: what they may say, and that an error names the file, the line and the key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daintree.errors import SpecError
from daintree.spec.component import ComponentSpec, Param, Resources, read_component

WHERE = "components/a/b/component.yaml"


def complaint(text: str) -> SpecError:
    with pytest.raises(SpecError) as failure:
        read_component(text.encode(), WHERE)
    return failure.value


def test_everything_a_component_may_say() -> None:
    text = """
description: trains
uses: [lib/stageio]
params:
  epochs: {type: int, default: 50, help: passes}
  rate: {type: float, default: 1}
  mode: {type: str, choices: [fast, 'no']}
  threads: {type: int, default: 1, affects_output: false}
network: true
resources: {cpu: 1.5, memory: 2Gi}
outputs: [vectors.csv, sub/x.json]
build_args: {VARIANT: cpu}
"""
    assert read_component(text.encode(), WHERE) == ComponentSpec(
        description="trains",
        uses=("lib/stageio",),
        params={
            "epochs": Param(type="int", default=50, help="passes"),
            "rate": Param(type="float", default=1),
            "mode": Param(type="str", choices=("fast", "no")),
            "threads": Param(type="int", default=1, affects_output=False),
        },
        network=True,
        resources=Resources(cpu=1.5, memory="2Gi"),
        outputs=("vectors.csv", "sub/x.json"),
        build_args={"VARIANT": "cpu"},
    )


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "{}"])
def test_a_component_may_say_nothing(text: str) -> None:
    assert read_component(text.encode(), WHERE) == ComponentSpec()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- x\n", ":1: expected a mapping of keys to values"),
        ("network: false\nusess: []\n", ":2: unknown key 'usess' (at usess)"),
        ("\nuses: lib/stageio\n", ":2: expected a list, got text (at uses)"),
        ("uses:\n- a\n- 3\n", ":3: expected text, got a whole number (at uses.1)"),
        ("network: yes\n", ":1: expected true or false, got text (at network)"),
        ("network: 1\n", ":1: expected true or false, got a whole number (at network)"),
        ("resources: {cpu: x}\n", ":1: expected a number, got text (at resources.cpu)"),
        ("resources:\n", ":1: expected a mapping, got nothing (at resources)"),
        ("params: {a: {}}\n", ":1: the key 'type' is missing (at params.a)"),
        ("params:\n  a: {type: int}\n  b: int\n", ":3: expected a mapping, got text (at params.b)"),
        ("params:\n  a: {type: int}\n  b: {typ: int}\n", ":3: unknown key 'typ' (at params.b.typ)"),
        (
            "params:\n  a: {type: int}\n  b:\n    type: str\n    default: [1]\n",
            ":5: expected text, a number, true or false, got a list (at params.b.default)",
        ),
        (
            "params: {a: {type: int, choices: [1, {}]}}\n",
            ":1: expected text, a number, true or false, got a mapping (at params.a.choices.1)",
        ),
        (
            "build_args:\n  A: x\n  B: 1\n",
            ":3: expected text, got a whole number (at build_args.B)",
        ),
        ("x - at y: 1\n", ":1: unknown key 'x - at y' (at x - at y)"),
        ("resources: {cpu: -0.5}\n", ":1: cpu must not be negative"),
        ("resources: {gpu: -1}\n", ":1: gpu must not be negative"),
        ("python: 3.12\n", ":1: expected text, got a number (at python)"),
        ('python: "3.9"\n', ":1: '3.9' is no version of Python that components run with"),
        ('python: "3.12.1"\n', ":1: '3.12.1' is no version of Python that components run with"),
        ('python: "2.7"\n', ":1: '2.7' is no version of Python that components run with"),
        (
            "env:\n- DB_PASSWORD\n- DB PASSWORD=x\n",
            ":3: 'DB PASSWORD=x' is not the name of an environment variable",
        ),
        ("env: {DB_PASSWORD: x}\n", ":1: expected a list, got a mapping (at env)"),
        ("outputs: [../x]\n", ":1: '../x' is not a path inside the output"),
        ("outputs: [/etc/passwd]\n", ":1: '/etc/passwd' is not a path inside the output"),
        ("outputs: ['']\n", ":1: '' is not a path inside the output"),
        ("params:\n  a: {type: int, default: x}\n", ":2: parameter 'a': expected int, got str 'x'"),
        (
            "params:\n  a: {type: str, default: 1.0}\n",
            ":2: parameter 'a': expected str, got float 1.0, quote it",
        ),
        (
            "params:\n  a: {type: int, choices: [1, x]}\n",
            ":2: parameter 'a': expected int, got str 'x'",
        ),
        (
            "params:\n  a: {type: int, default: 3, choices: [1, 2]}\n",
            ":2: parameter 'a': 3 is none of 1, 2",
        ),
    ],
)
def test_an_error_names_file_line_and_key(text: str, message: str) -> None:
    assert complaint(text).message == WHERE + message


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("usess: []\n", "did you mean 'uses'?"),
        ("parms: {}\n", "did you mean 'params'?"),
        ("params: {a: {type: int, defualt: 1}}\n", "did you mean 'default'?"),
        ("resources: {disk: 1Gi}\n", "there are: cpu, gpu, memory"),
        ("resources: {memori: 1Gi}\n", "did you mean 'memory'?"),
    ],
)
def test_an_unknown_key_gets_the_nearest_one(text: str, hint: str) -> None:
    assert complaint(text).hint == hint


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("outputs: metrics.json\n", "a list stands in brackets: outputs: [metrics.json]"),
        ("uses: lib/stageio\n", "a list stands in brackets: uses: [lib/stageio]"),
        ("env: {DB_PASSWORD: x}\n", ""),
    ],
)
def test_text_in_the_place_of_a_list_gets_brackets(text: str, hint: str) -> None:
    assert complaint(text).hint == hint


def test_a_version_that_is_a_number_is_to_be_quoted() -> None:
    hint = 'in quotes, since 3.10 is the number 3.1: python: "3.12"'
    assert complaint("python: 3.10\n").hint == hint


def test_an_unknown_type_is_said_with_those_there_are() -> None:
    error = complaint("params:\n  a: {type: int}\n  b: {type: integer}\n")
    assert error.message == f"{WHERE}:3: invalid enum value 'integer' (at params.b.type)"
    assert error.hint == "a type is one of: bool, float, int, str"


@pytest.mark.parametrize(
    "name", ["Epochs", "2nd", "a-b", "a b", "größe", "_a", "input", "output", "help"]
)
def test_a_parameters_name_must_be_one_that_a_command_line_takes(name: str) -> None:
    error = complaint(f"params:\n  {name}: {{type: int}}\n")
    assert error.message == f"{WHERE}:2: {name!r} cannot be a parameter's name"
    assert error.hint == "lower-case letters, digits and _, and none of: help, input, output"


@pytest.mark.parametrize(
    "name", ["PATH", "TZ", "LC_NUMERIC", "PYTHONPATH", "LD_PRELOAD", "DAINTREE_STORE"]
)
def test_a_variable_that_decides_what_a_stage_does_is_not_taken_from_outside(name: str) -> None:
    error = complaint(f"env: [DB_PASSWORD, {name}]\n")
    assert error.message == (
        f"{WHERE}:1: the variable {name} is the tooling's own, and cannot be taken from outside"
    )
    assert "a value that changes the result is a parameter" in error.hint


@pytest.mark.parametrize("memory", ["2GB", "2 Gi", "-1Gi", "1.5Gi", "Gi", "2Gi\n"])
def test_memory_that_is_no_amount_gets_an_example(memory: str) -> None:
    error = complaint(f"\nresources:\n  memory: {memory!r}\n".replace("'", '"'))
    assert error.message == f"{WHERE}:2: memory {memory!r} is not an amount"
    assert error.hint == "write e.g. 512Mi or 2Gi"


KEYS = st.sampled_from(
    [
        "description",
        "uses",
        "params",
        "network",
        "resources",
        "outputs",
        "build_args",
        "type",
        "cpu",
        "x",
    ]
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(KEYS, JUNK))
def test_no_content_does_more_than_raise_spec_error(content: dict[str, object]) -> None:
    import yaml

    try:
        spec = read_component(yaml.safe_dump(content, allow_unicode=True).encode(), WHERE)
    except SpecError as error:
        assert error.message.startswith(WHERE)
    else:
        assert isinstance(spec, ComponentSpec)
