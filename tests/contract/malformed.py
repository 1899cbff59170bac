"""What no store reads, and where no store goes, whatever asks it to."""

from __future__ import annotations

import pytest

from daintree.store.records import SCHEMA, encode
from tests.contract.runs import record_of

OUTSIDE = ["../x", "/x", "a/../../x", "a//b", "", ".", "_cache/x", "a\nb", "a\0b"]
UNREADABLE = {
    "empty": b"",
    "broken off": encode(record_of())[:40],
    "no text": b"\xff\xfe\0",
    "another kind": b"[]",
    "newer schema": encode(record_of(schema=SCHEMA + 1)),
    "leads outside": encode(record_of(location="../../outside")),
}
each_unreadable = pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
each_outside = pytest.mark.parametrize("location", OUTSIDE)
