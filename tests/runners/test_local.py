from __future__ import annotations

import sys
from pathlib import Path

import pytest

from daintree.errors import StageFailed, UsageError
from daintree.runners import open_runner
from daintree.runners.local import LocalRunner
from daintree.runners.runner import Job, Prepared
from daintree.settings import read_settings

INTERLEAVED = """\
import sys
for i in range(3):
    print("out", i)
    print("err", i, file=sys.stderr)
open("here", "w").close()
"""


def local_runner(place: Path) -> LocalRunner:
    return LocalRunner(read_settings(place, {"HOME": str(place)}))


def job(place: Path, source: str = "", python: Path = Path("/gone/bin/python")) -> Job:
    (place / "main.py").write_text(source)
    (place / "scratch").mkdir()
    return Job(
        label="pipeline:stage",
        component="group/name",
        version="",
        run="",
        prepared=Prepared(snapshot=place, python=python),
        arguments=(),
        input=str(place),
        places={"": place},
        output=place,
        scratch=place / "scratch",
        log=place / "log.txt",
    )


def test_an_unknown_runner_is_named_with_those_there_are(tmp_path: Path) -> None:
    settings = read_settings(tmp_path, {"HOME": str(tmp_path)})
    with pytest.raises(UsageError, match="there is no runner 'kubernetes'") as failure:
        open_runner("kubernetes", settings)
    assert failure.value.hint == "there are: argo, docker, local"
    with pytest.raises(UsageError) as failure:
        open_runner("locl", settings)
    assert failure.value.hint == "did you mean 'local'?"


def test_an_environment_that_has_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"stage pipeline:stage: its environment is gone: /"):
        local_runner(tmp_path).execute(job(tmp_path), print)


def test_its_two_streams_keep_their_order_and_relative_paths_land_in_scratch(
    tmp_path: Path,
) -> None:
    runner = local_runner(tmp_path)
    lines: list[str] = []
    made = job(tmp_path, INTERLEAVED, Path(sys.executable))
    assert runner.execute(made, lines.append).exit_code == 0
    assert lines == [f"{stream} {count}" for count in range(3) for stream in ("out", "err")]
    assert [path.name for path in made.scratch.iterdir()] == ["here"]
