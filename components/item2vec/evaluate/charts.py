"""Charts as PNG and SVG: the same bytes for the same numbers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from item2vec_model import Model
from numpy.typing import NDArray
from split import Split

Draw = Callable[[Any], object]


def draw_charts(
    output: Path,
    by_length: Sequence[Mapping[str, float]],
    losses: Sequence[float],
    model: Model,
    split: Split,
) -> None:
    """Write each chart below `output`, as NAME.png and NAME.svg."""
    bought = split.train_purchases[[split.items[item] for item in model.items]]
    charts: dict[str, Draw] = {
        "metric_by_history_length": lambda axes: _lengths(axes, by_length),
        "training_loss": lambda axes: _losses(axes, losses),
        "item_map": lambda axes: _map(axes, plane(model.vectors), bought),
    }
    with _figures() as new_figure:
        for name, draw in charts.items():
            figure = new_figure()
            draw(figure.subplots())
            figure.savefig(output / f"{name}.png", metadata={"Software": None})
            figure.savefig(output / f"{name}.svg", metadata={"Date": None, "Creator": None})


def plane(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Two coordinates for each vector: its first two principal components.

    A component points to where its largest weight is positive, so that the map is never mirrored.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    first = axes[:, ::-1][:, :2]
    first = first * np.sign(first[np.abs(first).argmax(axis=0), np.arange(first.shape[1])])
    places = np.zeros((len(vectors), 2))
    places[:, : first.shape[1]] = centred @ first
    return places


@contextmanager
def _figures() -> Iterator[Callable[[], Any]]:
    """Gives a maker of figures that no setting of the user's reaches."""
    with tempfile.TemporaryDirectory(prefix="charts-") as settings:
        os.environ["MPLCONFIGDIR"] = settings
        import matplotlib
        from matplotlib.figure import Figure

        matplotlib.rcdefaults()
        # What SVG calls its parts is drawn from chance without a salt.
        with matplotlib.rc_context({"svg.hashsalt": "item2vec", "axes.grid": True}):
            yield lambda: Figure(figsize=(7, 4.5), dpi=100, layout="constrained")


def _lengths(axes: Any, by_length: Sequence[Mapping[str, float]]) -> None:
    labels = [f"{part['from']}-{part['to']}\n({part['cases']:,})" for part in by_length]
    places = np.arange(len(labels))
    for offset, name in ((-0.2, "hr@10"), (0.2, "ndcg@10")):
        axes.bar(places + offset, [part[name] for part in by_length], 0.4, label=name.upper())
    axes.set_xticks(places, labels)
    axes.set_xlabel("purchases in the history (cases)")
    axes.set_title("Test metrics by length of history")
    axes.legend()


def _losses(axes: Any, losses: Sequence[float]) -> None:
    axes.plot(range(1, len(losses) + 1), losses, marker="." if len(losses) < 60 else None)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss per purchase")
    axes.set_title("Training loss")


def _map(axes: Any, places: NDArray[np.float64], bought: NDArray[np.int64]) -> None:
    # Drawn as one picture: thousands of circles would make the SVG large.
    dots = axes.scatter(*places.T, c=np.log10(1 + bought), s=4, linewidths=0, rasterized=True)
    axes.figure.colorbar(dots, label="training purchases, log10(1 + n)")
    axes.set_xlabel("first principal component")
    axes.set_ylabel("second")
    axes.set_title("Item vectors")
