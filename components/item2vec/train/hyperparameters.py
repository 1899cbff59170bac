"""The parameters of the training and their ranges."""

from __future__ import annotations

from dataclasses import dataclass

from stageio import StageError

_RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 10_000),
    "dimension": (1, 10_000),
    "window": (1, 10_000),
    "negative": (1, 1_000),
    "ns_exponent": (-5, 5),
    # From 1 on, gensim takes it for a number of purchases.
    "sample": (0, 0.999999),
    "min_count": (1, 1_000_000_000),
    "alpha": (1e-6, 1),
    "min_alpha": (0, 1),
    "seed": (0, 2**32 - 1),
}


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """What decides the vectors beside the sequences; component.yaml says what each one means."""

    epochs: int
    dimension: int
    window: int
    shrink_windows: bool
    negative: int
    ns_exponent: float
    sample: float
    min_count: int
    alpha: float
    min_alpha: float
    seed: int

    def check(self) -> None:
        """Raise StageError, which names the flag, for a parameter that is out of its range."""
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                flag = f"--{name.replace('_', '-')}"
                raise StageError(f"{flag} {value}: out of range", f"give {low:,} to {high:,}")
        if self.min_alpha > self.alpha:
            raise StageError(
                f"--min-alpha {self.min_alpha}: larger than --alpha {self.alpha}",
                "the learning rate falls from --alpha to --min-alpha",
            )
