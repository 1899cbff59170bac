from __future__ import annotations

import random
from itertools import pairwise

import main
import numpy as np
import pandas as pd
import pytest


def kept(chunks: list[list[str]]) -> list[str]:
    """The cells that are no duplicates, of a table of one column in chunks."""
    known = main.KnownRows()
    left: list[str] = []
    for cells in chunks:
        rows = pd.DataFrame({"a": pd.Series(cells, dtype="str")})
        left += rows["a"][~known.repeated(rows)].tolist()
    assert known.count == len(left)
    return left


@pytest.mark.parametrize("seed", range(5))
def test_the_first_of_equal_rows_is_kept_across_chunks(seed: int) -> None:
    draw = random.Random(seed)
    cells = [str(draw.randrange(600)) for _ in range(2000)]
    cuts = [0, *sorted(draw.choices(range(2000), k=12)), 2000]
    chunks = [cells[start:end] for start, end in pairwise(cuts)]
    assert kept(chunks) == list(dict.fromkeys(cells))


@pytest.mark.parametrize("constant", [0, 7])
@pytest.mark.parametrize("key", main.HASHES)
def test_rows_of_which_one_hash_is_equal_are_no_duplicates(
    monkeypatch: pytest.MonkeyPatch, key: str, constant: int
) -> None:
    whole = main.hash_array

    def colliding(cells: np.ndarray, *, hash_key: str, categorize: bool) -> np.ndarray:
        if hash_key == key:
            return np.full(len(cells), constant, "uint64")
        return whole(cells, hash_key=hash_key, categorize=categorize)

    monkeypatch.setattr(main, "hash_array", colliding)
    cells = [str(number) for number in range(40)]
    assert kept([["x", "y", "x"], ["z"], cells, cells]) == ["x", "y", "z", *cells]


@pytest.mark.parametrize("mark", [*main.HASHES.values(), ""])
def test_rows_that_differ_where_a_cell_ends_are_no_duplicates(mark: str) -> None:
    rows = pd.DataFrame({"a": [f"x{mark}y", "x", "x"], "b": ["z", f"y{mark}z", f"y{mark}z"]})
    assert main.KnownRows().repeated(rows).tolist() == [False, False, True]
