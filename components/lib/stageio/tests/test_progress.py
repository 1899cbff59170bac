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
    assert lines[0] == "pairs: [##------------------] 20 of 200 (10 %)"
    assert lines[-1] == "pairs: [####################] 200 of 200 (100 %)"


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
    assert terminal.getvalue().endswith("\r\033[Klines: 3\n")
    assert terminal.getvalue().count("\n") == 1


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_the_latest_item_says_how_it_goes(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    losses = progress([2.5, 1.25], total=2, label="epochs", note="loss {}".format)
    assert list(losses) == [2.5, 1.25]
    last = stream.getvalue().splitlines()[-1]
    assert last.endswith("epochs: [####################] 2 of 2 (100 %), loss 1.25")
