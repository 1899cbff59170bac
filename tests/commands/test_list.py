"""The overview that `doit` prints without a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from daintree.commands.list import print_overview


def test_the_overview_advises_a_pipeline_that_is_not_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {"pipelines/ci.yaml": "trigger: [main]\n", "components/shop/load/main.py": ""}
    texts["pipelines/sales.yaml"] = "source: pipelines\nstages: [shop/load]\n"
    for path, text in texts.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    print_overview(tmp_path)
    printed = capsys.readouterr().out
    assert "ci     BROKEN: pipelines/ci.yaml:1: unknown key 'trigger'" in printed
    assert "doit run sales " in printed
    (tmp_path / "pipelines/sales.yaml").unlink()
    print_overview(tmp_path)
    assert "doit run PIPELINE " in capsys.readouterr().out
