"""item2vec's quality on the Beauty set over three seeds, with seconds and peak memory of each pipeline run."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from beauty import MIB, SOURCE, doit
from contenders import user_environments, variables, workspace
from projects import copy_of_this_project
from timing import parser, row

SEEDS = (1, 2, 3)
# Of the same split and ranking, from the papers' tables: HR@10, NDCG@10.
PUBLISHED = {
    "SASRec": ("0.0605", "0.0318"),
    "S3-Rec": ("0.0647", "0.0327"),
    "TIGER": ("0.0648", "0.0384"),
    "ActionPiece": ("-", "0.0424"),
}
# Trained on the validation purchases as well, which the published figures are not: no comparison.
RETRAINED = "preprocess.validation=false"
MODELS: dict[str, Callable[[Mapping[str, Any]], Mapping[str, float]]] = {
    "item2vec": lambda found: found["test"],
    "its vectors alone": lambda found: found["baselines"]["vectors"],
    "its counts alone": lambda found: found["baselines"]["cooccurrence"],
    "popularity": lambda found: found["baselines"]["popularity"],
}


def main() -> None:
    """Run the pipeline once a seed, each time from the source, and once more retrained; print the tables."""
    parsing = parser(__doc__)
    parsing.add_argument("--source", type=Path, default=SOURCE, help="default: %(default)s")
    arguments = parsing.parse_args()
    seeds = SEEDS[:1] if arguments.quick else SEEDS
    with workspace() as directory:
        project = copy_of_this_project(directory / "item2vec")
        source = arguments.source.resolve()
        runs = [measure(directory, project, source, seed) for seed in seeds]
        more = [measure(directory, project, source, seed, RETRAINED)[0] for seed in seeds]
    found = [metrics for metrics, _ in runs]
    for name, of in MODELS.items():
        row(name, *published_metrics([of(each) for each in found]))
    for name, figures in PUBLISHED.items():
        row(f"{name}, published", *figures)
    row("item2vec, retrained", *published_metrics([each["retrained"] for each in more]))
    row("users, items, cases", *(f"{found[0][name]:,}" for name in ("users", "items", "cases")))
    for stage in runs[0][1]:
        taken = [stages[stage] for _, stages in runs]
        memory = max(run.get("peak_memory", 0) for run in taken) / MIB
        row(stage, spread([run["seconds"] for run in taken], 1), f"{memory:.0f} MiB")
    row("all", spread([sum(r["seconds"] for r in s.values()) for _, s in runs], 1), "")


def published_metrics(found: Sequence[Mapping[str, float]]) -> list[str]:
    """The two metrics that others publish, over the seeds."""
    return [spread([metrics[name] for metrics in found], 4) for name in ("hr@10", "ndcg@10")]


def measure(
    directory: Path, project: Path, source: Path, seed: int, *settings: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """One run into the seed's own store: what it measured, and each stage's run, in order."""
    environment = variables(directory / f"cache-{seed}", environments=user_environments())
    there = partial(doit, project=project, environment=environment)
    output = directory / f"output-{seed}"
    arguments = [f"--source={source}", f"--output={output}"]
    arguments += [f"--set={setting}" for setting in (f"train.seed={seed}", *settings)]
    there("run", "item2vec", *arguments)
    listed = json.loads(there("history", "item2vec", "--json"))["runs"]
    stages = {run["stage"]: run for run in sorted(listed, key=lambda run: str(run["run"]))}
    return json.loads((output / "metrics.json").read_bytes()), stages


def spread(values: Sequence[float], digits: int) -> str:
    """The median, and the least and the greatest in brackets."""
    low, middle, high = (f(values) for f in (min, statistics.median, max))
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


if __name__ == "__main__":
    main()
