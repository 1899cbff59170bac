"""The page of `doit gc`: the command that it names does what the page says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from daintree.commands.gc import page


def test_the_command_that_removes_is_quoted_as_it_was_typed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["doit", "gc", "--max-size", "20 GB"])
    lines = page([], {"snapshots": {Path("x"): 10}}, (0, 0), {"yes": False})
    assert lines == [
        "1 snapshots (10 B) not used for long: would go",
        "nothing was removed; to do it: doit gc --max-size '20 GB' --yes",
    ]
