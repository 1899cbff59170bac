"""How well a model ranks the purchase that was held out, among all items."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# One thread sums in one order: the metrics must not depend on the number of cores.
os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"))

import pandas as pd
from card import model_card
from charts import draw_charts
from item2vec_model import Model, Scoring, read_description, read_model, scorer_of
from metrics import NAMES, OF_RANKS, RECOMMENDED, Metrics, by_history_length, spread, summarise
from ranking import Ranking, ScoreMatrix, model_scores, popularity_scores, rank, rank_all
from split import Cases, Indices, Split, read_split
from stageio import StageError, read_table, run, table, write_table


def main(
    *,
    input: Path,
    output: Path,
    decay: float,
    last_items: int,
    cooccurrence: float,
    max_users: int,
    seed: int,
    fail_below_baseline: bool,
) -> None:
    """Evaluate the model and its baselines; write metrics, charts and the model card.

    Raises StageError when a parameter is out of range, the model or the split is malformed, no
    purchase is held out, or the model is worse than popularity and must not be.
    """
    scoring = Scoring(decay, last_items, cooccurrence)
    scoring.check()
    for flag, value, least in (("--max-users", max_users, 1), ("--seed", seed, 0)):
        if not least <= value < 2**32:
            raise StageError(f"{flag} {value}: out of range", f"give {least} to {2**32 - 1:,}")
    split = read_split(input, max_users, seed)
    check_cases(input, split)
    losses = read_losses(table(input, "training.csv"))
    model = read_model(input)
    document = evaluate(input, split, model, scoring)
    if len(split.test) < split.held_out:
        document["sample"] = {"users": len(split.test), "of": split.held_out, "seed": seed}
    say(document)
    if fail_below_baseline:
        check_baseline(document)
    write_metrics(output, document)
    draw_charts(output, document["by_history_length"], losses, model, split)
    parameters = {"train": read_description(input)["parameters"], "evaluate": vars(scoring)}
    card = model_card(document, parts(document), parameters, len(model.items))
    (output / "model_card.md").write_text(card, encoding="utf-8", newline="\n")


def evaluate(directory: Path, split: Split, model: Model, scoring: Scoring) -> dict[str, Any]:
    """The content of metrics.json.

    Without validation purchases, these were trained on: what is measured on the test purchases is
    then called "retrained", so that it is never taken for what others measure there.
    """
    scorer = scorer_of(model, directory, scoring)

    def halves(histories: Sequence[Indices]) -> dict[str, ScoreMatrix]:
        vectors, counts = scorer.vector_scores(histories), scorer.counts(histories)
        blended = scorer.blend(vectors.copy(), counts)
        return {"item2vec": blended, "cooccurrence": counts, "vectors": vectors}

    items = len(split.items)
    found = rank_all(split.test, model_scores(model, halves, split.items), items, RECOMMENDED)
    popularity = rank(split.test, popularity_scores(split.train_purchases), items, RECOMMENDED)
    ranking, baselines = found.pop("item2vec"), {"popularity": popularity, **found}
    document: dict[str, Any] = {
        "baselines": {n: measured(split, split.test, found) for n, found in baselines.items()},
        "by_history_length": by_history_length(ranking.ranks, split.test.lengths),
        "users": split.users,
        "items": len(split.items),
        "cases": len(split.test),
    }
    on_test = measured(split, split.test, ranking)
    if not len(split.valid):
        return {"retrained": on_test, **document}
    scores = model_scores(model, lambda rows: {"item2vec": scorer.scores(rows)}, split.items)
    on_valid = rank_all(split.valid, scores, items, RECOMMENDED)["item2vec"]
    return {"test": on_test, "valid": measured(split, split.valid, on_valid), **document}


def measured(split: Split, cases: Cases, ranking: Ranking) -> Metrics:
    """Every metric of a ranking."""
    return {
        **summarise(ranking.ranks),
        **spread(ranking.times, split.train_purchases, cases.targets),
    }


def check_cases(input: Path, split: Split) -> None:
    """Raise StageError, which names the file, when there is no purchase to look for."""
    if not len(split.test):
        raise StageError(
            f"{input / 'test.csv'}: no purchase to evaluate on",
            "purchases are held out of users with three or more of them",
        )


def check_baseline(document: dict[str, Any]) -> None:
    """Raise StageError when popularity ranks what was bought as high as the model, or higher."""
    _, _, found = parts(document)[0]
    model, popularity = found["ndcg@10"], document["baselines"]["popularity"]["ndcg@10"]
    if model <= popularity:
        raise StageError(
            f"the model does not beat the popularity baseline: NDCG@10 {model} against {popularity}",
            "train longer or on more data; without --fail-below-baseline the metrics are written",
        )


def read_losses(path: Path) -> list[float]:
    """The loss of each epoch, in order. Raises StageError when the table is malformed."""
    try:
        return read_table(path, ["loss"])["loss"].astype(float).tolist()
    except ValueError as error:
        raise StageError(f"{path}: {error}", "take the file as train writes it") from None


def write_metrics(output: Path, document: dict[str, Any]) -> None:
    """Write metrics.json for programs, metrics.csv and by_history_length.csv as tables."""
    text = json.dumps(document, indent=2, sort_keys=True)
    (output / "metrics.json").write_text(text + "\n", encoding="utf-8", newline="\n")
    rows = [{"model": model, "part": part, **metrics} for model, part, metrics in parts(document)]
    write_table(output / "metrics.csv", pd.DataFrame(rows)[["model", "part", *NAMES]])
    lengths = pd.DataFrame(document["by_history_length"])
    write_table(output / "by_history_length.csv", lengths[["from", "to", "cases", *OF_RANKS]])


def parts(document: dict[str, Any]) -> list[tuple[str, str, Metrics]]:
    """(model, part, metrics) of all that was measured: first the model on the test purchases."""
    names = [name for name in ("test", "retrained", "valid") if name in document]
    own = [("item2vec", name, document[name]) for name in names]
    return own + [(name, names[0], found) for name, found in document["baselines"].items()]


def say(document: dict[str, Any]) -> None:
    """Print the two metrics that others publish on stderr."""
    for name, part, metrics in parts(document):
        print(
            f"{name} {part}: HR@10 {metrics['hr@10']:.4f}, NDCG@10 {metrics['ndcg@10']:.4f}",
            file=sys.stderr,
        )
    if sample := document.get("sample"):
        print(
            f"measured on {sample['users']:,} of {sample['of']:,} users, drawn by --seed "
            f"{sample['seed']}; --max-users is the limit",
            file=sys.stderr,
        )


if __name__ == "__main__":
    run(main)
