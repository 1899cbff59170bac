from __future__ import annotations

import random
from itertools import pairwise

import main
import numpy as np
import pandas as pd
import pytest


def kept(chunks: list[list[str]]) -> list[str]:
    """The cells that are no duplicates, of a table of one column in chunks."""
    known = np.zeros((2, 1), "uint64")
    left: list[str] = []
    for cells in chunks:
        rows = pd.DataFrame({"a": pd.Series(cells, dtype="str")})
        again, known = main.repeated(rows, known)
        left += rows["a"][~again].tolist()
    return left


@pytest.mark.parametrize("seed", range(5))
def test_the_first_of_equal_rows_is_kept_across_chunks(seed: int) -> None:
    draw = random.Random(seed)
    cells = [str(draw.randrange(60)) for _ in range(200)]
    cuts = [0, *sorted(draw.sample(range(200), 6)), 200]
    chunks = [cells[start:end] for start, end in pairwise(cuts)]
    assert kept(chunks) == list(dict.fromkeys(cells))


def test_rows_of_which_one_hash_is_equal_are_no_duplicates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = main.hash_pandas_object

    def colliding(rows: pd.DataFrame, index: bool, *, hash_key: str, categorize: bool) -> pd.Series:
        if hash_key == main.KEYS[0]:
            return pd.Series(np.full(len(rows), 7, "uint64"))
        return whole(rows, index, hash_key=hash_key, categorize=categorize)

    monkeypatch.setattr(main, "hash_pandas_object", colliding)
    assert kept([["x", "y", "x"], ["z"]]) == ["x", "y", "z"]
