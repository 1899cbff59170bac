"""The model card: what the model is made of, how well it does, and what it cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = ("hr@10", "ndcg@10", "mrr@10")
HELD_OUT = "The last purchase of each user with three or more is the test purchase, the one before it the validation purchase. Training and counts see neither."
RETRAINED = "The last purchase of each user with three or more is the test purchase; training and counts see all others. The metrics are called retrained: they are not to be compared with those of models that have not seen the purchase before the last."
LIMITS = """\
- An item without a purchase in the training part is never recommended; it comes last in the ranking and its cases count as missed.
- A user is known by purchases alone: without one, there is nothing to go by.
- The scores blend the skip-gram's vectors with counts of what was bought after what. `vectors` and `cooccurrence` above show what each reaches alone.
- Purchases of one and the same time stand in the order of the source. Where that order means nothing, the counts say less.
- The metrics are offline, of one purchase a user; they say how well past purchases are foretold, not what a shop would sell.
- An item that a user has bought before is not recommended again."""


def model_card(
    document: Mapping[str, Any],
    measured: Sequence[tuple[str, str, Mapping[str, float]]],
    parameters: Mapping[str, Mapping[str, Any]],
    trained: int,
) -> str:
    """The card as Markdown, of the content of metrics.json and the parameters by stage.

    `measured` holds (model, part, metrics), first of all the model's own on the test purchases;
    `trained` is the number of items with vectors.
    """
    lines = [
        "# Model card: item2vec",
        "",
        "Recommends the next item to buy from the items bought before: item vectors (skip-gram with negative sampling), blended with counts of what was bought after what.",
        "",
        *_counted(document, trained),
        RETRAINED if "retrained" in document else HELD_OUT,
        "",
        *_chosen(parameters),
        *_section(
            "Metrics",
            ("model, part", *(name.upper() for name in COLUMNS)),
            [(f"{name}, {part}", *(f"{m[c]:.4f}" for c in COLUMNS)) for name, part, m in measured],
        ),
        *_spread(measured[0][2]),
        *_by_history_length(document["by_history_length"]),
        "## Limits",
        "",
        LIMITS,
    ]
    return "\n".join(lines) + "\n"


def _counted(document: Mapping[str, Any], trained: int) -> list[str]:
    rows = [
        ("users", f"{document['users']:,}"),
        ("items", f"{document['items']:,}"),
        ("items with vectors", f"{trained:,}"),
        ("test purchases", f"{document['cases']:,}"),
    ]
    if sample := document.get("sample"):
        rows.append((f"users they are a sample of (seed {sample['seed']})", f"{sample['of']:,}"))
    return _section("Data", ("what", "count"), rows)


def _by_history_length(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    head = ("purchases", "cases", *(name.upper() for name in COLUMNS))
    rows = [
        (f"{p['from']} to {p['to']}", f"{p['cases']:,}", *(f"{p[c]:.4f}" for c in COLUMNS))
        for p in parts
    ]
    return _section("By length of history", head, rows)


def _chosen(parameters: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = [(s, n, v) for s, chosen in parameters.items() for n, v in sorted(chosen.items())]
    return _section("Parameters", ("stage", "parameter", "value"), rows)


def _spread(found: Mapping[str, float]) -> list[str]:
    return [
        f"All items are ranked but those in the history. The ten best of all test cases cover {found['coverage@10']:.1%} of the items; "
        f"what they hold is {found['popularity_bias@10']:.2f} times as popular as what was bought.",
        "",
    ]


def _section(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    table = [head, ["---"] * len(head), *rows]
    return [f"## {title}", "", *("| " + " | ".join(map(str, row)) + " |" for row in table), ""]
