from __future__ import annotations

import numpy as np
import pytest
from charts import plane


def test_the_map_keeps_the_directions_in_which_vectors_differ_most() -> None:
    draw = np.random.default_rng(1)
    vectors = draw.normal(size=(200, 5)) * [0.1, 9, 0.1, 3, 0.1]
    places = plane(vectors.astype(np.float32))
    for axis, column in ((0, 1), (1, 3)):
        assert np.corrcoef(places[:, axis], vectors[:, column])[0, 1] > 0.99


@pytest.mark.parametrize("shape", [(1, 3), (2, 2), (3, 1)])
def test_few_items_and_one_dimension_have_places(shape: tuple[int, int]) -> None:
    places = plane(np.ones(shape, dtype=np.float32))
    assert places.shape == (shape[0], 2)
    assert np.isfinite(places).all()
