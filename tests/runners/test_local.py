from __future__ import annotations

from pathlib import Path

import pytest

from tooling.errors import StageFailed, UsageError
from tooling.runners import open_runner
from tooling.runners.protocol import Job


def test_an_unknown_runner_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no runner 'kubernetes'") as failure:
        open_runner("kubernetes", tmp_path)
    assert failure.value.hint == "there are: local"
    with pytest.raises(UsageError) as failure:
        open_runner("locl", tmp_path)
    assert failure.value.hint == "did you mean 'local'?"


def test_an_environment_that_has_gone_is_said(tmp_path: Path) -> None:
    job = Job(
        label="pipeline:stage",
        component="group/name",
        version="",
        run="",
        snapshot=tmp_path,
        arguments=(),
        input="",
        output=tmp_path,
        scratch=tmp_path,
        log=tmp_path / "log.txt",
    )
    with pytest.raises(StageFailed, match=r"stage pipeline:stage: its environment is gone: /"):
        open_runner("local", tmp_path / "environments").execute(job, print)
