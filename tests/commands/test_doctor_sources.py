"""The right that a source in another bucket needs is named by `doit doctor --runner argo`."""

from __future__ import annotations

from pathlib import Path

import pytest

from daintree.commands.doctor import _other_buckets
from daintree.settings import read_settings


@pytest.mark.parametrize(
    ("source", "named"),
    [("s3://raw/x", ["raw"]), ("s3://ml/x", []), ("data.csv", []), ("https://a.example/x", [])],
)
def test_a_source_in_another_bucket_names_its_rights(
    tmp_path: Path, source: str, named: list[str]
) -> None:
    (tmp_path / "pipelines").mkdir()
    text = f"source: {source}\nstages:\n  - text/load\n"
    (tmp_path / "pipelines/words.yaml").write_text(text, encoding="utf-8")
    settings = read_settings(tmp_path, {"HOME": "/", "DAINTREE_STORE": "s3://ml/team"})
    rights = [f"needs s3:GetObject and s3:ListBucket on {bucket}" for bucket in named]
    assert [check.what.partition("store ")[2] for check in _other_buckets(settings)] == rights
