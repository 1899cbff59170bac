"""Output directories: those that several pipelines would write."""

from __future__ import annotations

from pathlib import Path

import pytest

from daintree.errors import SpecError
from daintree.pipeline.output_directory import check_outputs
from daintree.spec.pipeline import load_pipeline


@pytest.mark.parametrize(
    ("mine", "other", "fault"),
    [
        ("out/x", "out/x", "are one directory"),
        ("out/x", "./out/../out/x/", "are one directory"),
        ("out", "out/x", "lie one in the other"),
        ("out/x/y", "out/x", "lie one in the other"),
        ("out/x", "out/xy", ""),
    ],
)
def test_two_pipelines_have_outputs_of_their_own(
    mine: str, other: str, fault: str, tmp_path: Path
) -> None:
    (tmp_path / "pipelines").mkdir()
    for name, output in {"a": mine, "b": other}.items():
        text = f"source: s\noutput: {output}\nstages: [c/load]\n"
        (tmp_path / f"pipelines/{name}.yaml").write_text(text)
    (tmp_path / "pipelines/broken.yaml").write_text("output: out/x\nstages: {}\n")
    pipeline = load_pipeline(tmp_path, "a", ())
    if not fault:
        check_outputs(tmp_path, pipeline)
        return
    with pytest.raises(SpecError) as failure:
        check_outputs(tmp_path, pipeline)
    assert failure.value.message.endswith(fault)
    assert "pipelines/b.yaml" in failure.value.message
