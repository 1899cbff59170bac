"""Files that people write: what YAML means here, and that no content whatever does more than raise SpecError."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from daintree.errors import SpecError
from daintree.spec.document import parse_document
from daintree.spec.yaml import MAX_BYTES, MAX_DEPTH

SAFE_TEXT = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\u2028\u2029")
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | SAFE_TEXT
)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SAFE_TEXT, inner, max_size=4),
    max_leaves=12,
)
# Text made of what YAML gives a meaning to reaches more of the reader than random bytes do.
YAML_LIKE = st.text(st.sampled_from("ab1 \n\t-:[]{}&*!|>'\"%@`#,?~.\\0\r\ufeff\x85é")).map(
    str.encode
)


def value_of(text: str, where: str = "pipelines/x.yaml") -> Any:
    return parse_document(text.encode(), where).value


def complaint(content: bytes | str, where: str = "pipelines/x.yaml") -> SpecError:
    with pytest.raises(SpecError) as failure:
        parse_document(content.encode() if isinstance(content, str) else content, where)
    return failure.value


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("y", "y"),
        ("True", True),
        ("false", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("nUll", "nUll"),
        ("012", 12),
        ("-7", -7),
        ("+7", 7),
        ("1_000", "1_000"),
        ("0x1F", "0x1F"),
        ("0o17", "0o17"),
        ("1:30", "1:30"),
        ("2014-07-23", "2014-07-23"),
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-0.0", -0.0),
        (".", "."),
        ("e5", "e5"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1.2.3", "1.2.3"),
        ("9223372036854775807", 2**63 - 1),
        ("'12'", "12"),
        ('"true"', "true"),
        ("! 12", "12"),
        ("<<", "<<"),
        ("=", "="),
        ("größe 尺寸", "größe 尺寸"),
        ("'; touch /tmp/x; #'", "; touch /tmp/x; #"),
    ],
)
def test_a_scalar_means_what_the_core_schema_says(scalar: str, value: object) -> None:
    read = value_of(f"key: {scalar}\n")["key"]
    assert (type(read), repr(read)) == (type(value), repr(value))


def test_keys_are_text_whatever_they_look_like() -> None:
    assert value_of("1: a\nno: b\n~: c\n<<: {x: 1}\n") == {
        "1": "a",
        "no": "b",
        "~": "c",
        "<<": {"x": 1},
    }


@given(PLAIN)
def test_plain_values_come_back_from_yaml(value: object) -> None:
    text = yaml.safe_dump({"value": value}, allow_unicode=True)
    read = value_of(text.replace("!!float ", ""))["value"]
    assert repr(read) == repr(_as_core_schema(value))


def _as_core_schema(value: Any) -> Any:
    """PyYAML sorts keys and writes those that are not text without quotes."""
    if isinstance(value, dict):
        return {key: _as_core_schema(value[key]) for key in sorted(value)}
    return [_as_core_schema(item) for item in value] if isinstance(value, list) else value


@given(PLAIN)
def test_plain_values_come_back_from_json(value: object) -> None:
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)
        assert repr(value_of(text, "x.json")) == repr(value)


@given(st.binary() | YAML_LIKE, st.sampled_from(["x.yaml", "x.json"]))
@settings(max_examples=400)
def test_no_content_does_more_than_raise_spec_error(content: bytes, where: str) -> None:
    try:
        document = parse_document(content, where)
    except SpecError as error:
        assert error.message.startswith(where)
        assert "\n" not in error.message
    else:
        json.dumps(document.value, allow_nan=False).encode()


@pytest.mark.parametrize("opening", ["[", "{", "- ", "? ", '{"a":', "[{a: "])
@pytest.mark.parametrize("where", ["x.yaml", "x.json"])
def test_a_hundred_thousand_levels_are_refused(opening: str, where: str) -> None:
    assert complaint(opening * 100_000, where).message.startswith(where)


@pytest.mark.parametrize("where", ["x.yaml", "x.json"])
def test_the_deepest_allowed_level_is_the_same_in_both_formats(where: str) -> None:
    assert value_of("[" * MAX_DEPTH + "]" * MAX_DEPTH, where) != []
    error = complaint("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), where)
    assert f"nested deeper than {MAX_DEPTH} levels" in error.message


def test_a_bomb_of_aliases_is_refused_at_its_first_alias() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{new}: &{new} [*{old}, *{old}]\n" for old, new in [("a", "b"), ("b", "c")]
    )
    error = complaint(bomb)
    assert error.message == "pipelines/x.yaml:2: aliases are not allowed here"
    assert error.hint == "write the value out in each place"


def test_a_file_that_is_too_large_is_not_parsed() -> None:
    error = complaint(b"#" * (MAX_BYTES + 1))
    assert error.message == (
        f"pipelines/x.yaml: {MAX_BYTES + 1} bytes are more than such a file may have ({MAX_BYTES})"
    )
    assert parse_document(b"#" * MAX_BYTES, "x.yaml").value is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", ":3: the key 'a' stands twice"),
        ("a:\n  b: {c: 1, c: 2}\n", ":2: the key 'c' stands twice"),
        ("'a': 1\na: 2\n", ":2: the key 'a' stands twice"),
        ("1: x\n'1': y\n", ":2: the key '1' stands twice"),
        ("a: 1\n---\nb: 2\n", ":2: there is a second document in the file"),
        ("? [a]\n: b\n", ":1: a key must be plain text"),
        ("a: 1\n*b : 2\n", ":2: a key must be plain text"),
        ("a: !!binary aGk=\n", ":1: the tag tag:yaml.org,2002:binary is not allowed here"),
        ("a: !x 1\n", ":1: the tag !x is not allowed here"),
        (
            "\n!!python/object/apply:os.system [x]\n",
            ":2: the tag tag:yaml.org,2002:python/object/apply:os.system is not allowed here",
        ),
        ("a: b: c\n", ":1: not YAML: mapping values are not allowed in this context"),
        ("a: 1\n'x: 2\nb: 3\n", ":3: not YAML: found unexpected end of stream, begun in line 2"),
        ('a: "\\0"\n', ":1: a NUL character cannot stand in text"),
        ('a: 1\n"\\0": 2\n', ":2: a NUL character cannot stand in text"),
        ("a: 1\r\nb: 2\r\na: 3\r\n", ":3: the key 'a' stands twice"),
        ("a: 1\nb: x\0y\n", ":2: there is a control character ('\\x00') in the file"),
        ("a: 1\n# \x1b[31m\n", ":2: there is a control character ('\\x1b') in the file"),
    ],
)
def test_a_yaml_error_says_file_line_and_what(content: str, message: str) -> None:
    assert complaint(content).message == "pipelines/x.yaml" + message


@pytest.mark.parametrize("content", ["a:\n\t- b\n", "a:\n  b: 1\n\tc: 2\n"])
def test_a_tab_in_the_indentation_gets_a_hint(content: str) -> None:
    error = complaint(content)
    assert "not YAML" in error.message
    assert error.hint == "indent with spaces, not with tabs"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1, "a": 2}', ": the key 'a' stands twice in one object"),
        ('{"a": NaN}', ": NaN is not JSON"),
        ('{"a": -Infinity}', ": -Infinity is not JSON"),
        ('{"a": 1e999}', ": the number 1e999 is too large"),
        ('{\n "a": 1,\n}', ":3: not JSON: Expecting property name enclosed in double quotes"),
        ("", ":1: not JSON: Expecting value"),
        ('{"a": 1} x', ":1: not JSON: Extra data"),
        ('{"a": ["\\ud800"]}', " (at a.0): half a surrogate pair cannot stand in text"),
        ('{"a": {"\\u0000": 1}}', " (at a): a NUL character cannot stand in text"),
        ("{'a': 1}", ":1: not JSON: Expecting property name enclosed in double quotes"),
    ],
)
def test_a_json_error_says_file_place_and_what(content: str, message: str) -> None:
    assert complaint(content, "pipelines/x.json").message == "pipelines/x.json" + message


@pytest.mark.parametrize("number", ["9223372036854775808", "-" + "9" * 20, "9" * 39])
@pytest.mark.parametrize("where", ["x.yaml", "x.json"])
def test_a_number_that_no_record_could_hold_is_refused(number: str, where: str) -> None:
    error = complaint(f'{{"a": {number}}}', where)
    assert error.message.endswith(f"the number {number} is too large")


@pytest.mark.parametrize("where", ["x.yaml", "x.json"])
def test_a_number_too_long_to_print_is_cut(where: str) -> None:
    error = complaint('{"a": ' + "9" * 100_000 + "}", where)
    assert error.message.endswith("the number " + "9" * 40 + "… is too large")


def test_text_that_looks_like_a_large_number_may_be_quoted() -> None:
    digits = "9" * 50
    assert complaint(f"id: {digits}").hint == "quote it if it is text"
    assert value_of(f"id: '{digits}'") == {"id": digits}


@pytest.mark.parametrize("where", ["x.yaml", "x.json"])
def test_a_byte_order_mark_is_no_part_of_the_text(where: str) -> None:
    assert parse_document(b'\xef\xbb\xbf{"a": 1}', where).value == {"a": 1}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a: 1\nb: \xff\n", 2),
        (b"\xef\xbb\xbfa: 1\nb: 2\nc: \xe9\n", 3),
        ("a: é".encode("utf-16"), 1),
    ],
)
def test_what_is_not_utf8_is_said_with_its_line(content: bytes, line: int) -> None:
    error = complaint(content)
    assert error.message == f"pipelines/x.yaml:{line}: not UTF-8 text"
    assert error.hint == "save the file as UTF-8"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_value_has_its_line(newline: str) -> None:
    text = newline.join(["# comment", "a: 1", "b:", "  - x", "  - c: 2", "    d: 3", ""])
    document = parse_document(text.encode(), "x.yaml")
    assert document.value == {"a": 1, "b": ["x", {"c": 2, "d": 3}]}
    assert document.place(("a",)) == "x.yaml:2"
    assert document.place(("b",)) == "x.yaml:3"
    assert document.place(("b", 0)) == "x.yaml:4"
    assert document.place(("b", 1, "d")) == "x.yaml:6"


def test_a_place_that_is_not_there_is_that_of_what_it_would_lie_in() -> None:
    document = parse_document(b"a: 1\nb: {c: 2}\n", "x.yaml")
    assert document.place(("b", "missing", 3)) == "x.yaml:2"
    assert parse_document(b"", "x.yaml").place(("a",)) == "x.yaml (at a)"


def test_json_has_keys_for_places() -> None:
    document = parse_document(b'{"a": [{"b": 1}]}', "x.json")
    assert document.place(("a", 0, "b")) == "x.json (at a.0.b)"
    assert document.place(()) == "x.json"


@pytest.mark.parametrize("content", ["", "# nothing\n", "---\n", "~\n", "null\n"])
def test_a_file_without_content_is_none(content: str) -> None:
    assert value_of(content) is None


def test_block_and_folded_text_is_text() -> None:
    assert value_of("a: |\n  12\n  no\nb: >\n  1\n  2\n") == {"a": "12\nno\n", "b": "1 2\n"}
