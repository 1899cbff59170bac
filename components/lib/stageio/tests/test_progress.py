from __future__ import annotations

import io
import sys

import pytest
from stageio import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_one_line_for_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(range(200), total=200, label="pairs")) == list(range(200))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0] == "pairs: 20 of 200 (10 %)"
    assert lines[-1] == "pairs: 200 of 200 (100 %)"


@pytest.mark.parametrize("total", [None, 0])
def test_a_log_gets_nothing_where_the_total_is_unknown(
    capsys: pytest.CaptureFixture[str], total: int | None
) -> None:
    assert list(progress("abc", total=total)) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_one_line_that_is_redrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(progress("abc", label="lines")) == ["a", "b", "c"]
    assert terminal.getvalue().endswith("\rlines: 3\n")
    assert terminal.getvalue().count("\n") == 1
