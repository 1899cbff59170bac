"""The text of a pipeline that goes along in a manifest; that it plans the same is for tests/e2e/test_argo_triggers.py."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from daintree.argo.triggers import braceless_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["{{workflow.name}}", "}}", "$(HOME) $$", '"\\{', "{"]
)
SCALARS = TEXTS | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
MAPPINGS = st.dictionaries(TEXTS, SCALARS, max_size=4)
STAGES = st.lists(
    st.fixed_dictionaries({"name": TEXTS, "params": MAPPINGS, "needs": st.lists(TEXTS)}),
    min_size=1,
    max_size=4,
)


@given(st.fixed_dictionaries({"source": MAPPINGS, "stages": STAGES}))
def test_it_is_the_same_value_and_nobody_finds_a_place_to_fill(value: dict[str, Any]) -> None:
    text = braceless_json(value)
    assert json.loads(text) == value
    assert not any(pair in text for pair in ("{{", "}}", "$"))


def test_it_is_laid_out_for_people() -> None:
    stage = {"name": "a", "params": {"top": 3, "text": "{{x}}"}, "needs": ["b"]}
    assert braceless_json({"source": "s3://raw/x", "stages": [stage]}).splitlines() == [
        "{",
        '  "source": "s3://raw/x",',
        '  "stages": [',
        "    {",
        '      "name": "a",',
        '      "params": {',
        '        "top": 3,',
        '        "text": "\\u007b\\u007bx\\u007d\\u007d"',
        "      },",
        '      "needs": [',
        '        "b"',
        "      ]",
        "    }",
        "  ]",
        "}",
    ]
