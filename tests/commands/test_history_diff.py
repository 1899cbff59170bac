"""Two runs side by side, in words."""

from __future__ import annotations

from daintree.commands.history import diff_lines
from daintree.pipeline.run_diff import Change, RunDifference

FAILED = Change("result", "succeeded", "failed")


def test_a_run_that_failed_has_nothing_to_be_compared() -> None:
    diff = RunDifference(first="a", second="b", stages=("p:s", "p:s"), facts=(FAILED,))
    words = "a run that failed has no output: outputs and metrics are not compared"
    assert words in diff_lines(diff, patches=False)
    assert words not in diff_lines(
        RunDifference(first="a", second="b", stages=("p:s", "p:s")), patches=False
    )
