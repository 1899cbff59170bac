from __future__ import annotations

import random
from itertools import pairwise

import main
import numpy as np
import pandas as pd
import pytest


def kept(chunks: list[list[str]]) -> list[str]:
    """The cells that are no duplicates, of a table of one column in chunks."""
    known: list[np.ndarray] = []
    left: list[str] = []
    for cells in chunks:
        rows = pd.DataFrame({"a": pd.Series(cells, dtype="str")})
        left += rows["a"][~main.repeated(rows, known)].tolist()
    lengths = [hashes.shape[1] for hashes in known]
    assert all(long >= 2 * short for long, short in pairwise(lengths))
    return left


@pytest.mark.parametrize("seed", range(5))
def test_the_first_of_equal_rows_is_kept_across_chunks(seed: int) -> None:
    draw = random.Random(seed)
    cells = [str(draw.randrange(60)) for _ in range(200)]
    cuts = [0, *sorted(draw.choices(range(200), k=12)), 200]
    chunks = [cells[start:end] for start, end in pairwise(cuts)]
    assert kept(chunks) == list(dict.fromkeys(cells))


def test_rows_of_which_one_hash_is_equal_are_no_duplicates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = main.hash_array

    def colliding(cells: np.ndarray, *, hash_key: str, categorize: bool) -> np.ndarray:
        if hash_key == next(iter(main.HASHES)):
            return np.full(len(cells), 7, "uint64")
        return whole(cells, hash_key=hash_key, categorize=categorize)

    monkeypatch.setattr(main, "hash_array", colliding)
    assert kept([["x", "y", "x"], ["z"]]) == ["x", "y", "z"]


@pytest.mark.parametrize("mark", [*main.HASHES.values(), ""])
def test_rows_that_differ_where_a_cell_ends_are_no_duplicates(mark: str) -> None:
    rows = pd.DataFrame({"a": [f"x{mark}y", "x", "x"], "b": ["z", f"y{mark}z", f"y{mark}z"]})
    assert main.repeated(rows, []).tolist() == [False, False, True]
