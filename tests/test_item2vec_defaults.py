"""What item2vec/serve answers by default is what item2vec/evaluate measures by default."""

from __future__ import annotations

from pathlib import Path

from daintree.spec.component import read_component

COMPONENTS = Path(__file__).parents[1] / "components" / "item2vec"
SCORING = ("decay", "last_items", "cooccurrence")


def test_serving_scores_as_evaluation_does() -> None:
    served, measured = (
        read_component((COMPONENTS / name / "component.yaml").read_bytes(), name).params
        for name in ("serve", "evaluate")
    )
    assert [served[name].default for name in SCORING] == [
        measured[name].default for name in SCORING
    ]
