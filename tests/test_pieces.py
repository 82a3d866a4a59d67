"""Pieces of a set of points."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from point2act.core.pieces import connected_pieces


@given(st.integers(0, 1_000_000), st.integers(1, 40), st.floats(0.01, 0.5))
def test_pieces_against_a_slow_twin(seed: int, count: int, gap: float):
    points = np.random.default_rng(seed).uniform(0, 1, (count, 3))
    linked = cdist(points, points) <= gap
    for _ in range(count):
        linked = linked @ linked
    found = connected_pieces(points, gap)
    np.testing.assert_array_equal(found[:, None] == found, linked)
