"""What no store reads, and where no store goes, whatever asks it to."""

from __future__ import annotations

import pytest

from daintree.store.records import encode
from tests.contract.runs import INDEX_PATH, record_of

OUTSIDE = ["../x", "/x", "a/../../x", "a//b", "", ".", "_cache/x", "a\nb", "a\0b"]
UNREADABLE = {
    "empty": b"",
    "broken off": encode(record_of(), INDEX_PATH)[:40],
    "no text": b"\xff\xfe\0",
    "another kind": b"[]",
    "older schema": b'{"schema":1,"run":"r"}',
    "flipped": encode(record_of(), INDEX_PATH).replace(b"train", b"trnin"),
    "of another place": encode(record_of(), f"{INDEX_PATH}0"),
    "deep": b"[" * 100_000,
    "leads outside": encode(record_of(location="../../outside"), INDEX_PATH),
}
each_unreadable = pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
each_outside = pytest.mark.parametrize("location", OUTSIDE)
