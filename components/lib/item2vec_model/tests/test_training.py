from __future__ import annotations

import json
from pathlib import Path

import pytest
from item2vec_model import trained_purchases, write_description
from stageio import StageError


def test_purchases_are_counted_by_item(tmp_path: Path) -> None:
    write_description(tmp_path)
    (tmp_path / "train.csv").write_text("user,item,time\nu,a,1\nu,b,2\nw,a,3\n")
    assert trained_purchases(tmp_path) == {"a": 2, "b": 1}


def test_a_model_of_another_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps({"kind": "item2vec", "schema": 0}))
    (tmp_path / "train.csv").write_text("user,item,time\n")
    with pytest.raises(StageError, match="a model of schema 0"):
        trained_purchases(tmp_path)
