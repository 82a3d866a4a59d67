"""Vectors in numba kernels against numpy."""

import operator

import numpy as np
import pytest

from point2act.splatting.cpu.compile_kernels import compiled
from point2act.splatting.cpu.simd import SIMD_WIDTH, any_true, load, ramp, select, store, total

RNG = np.random.default_rng(0)
A, B = RNG.uniform(0.5, 2.0, (2, SIMD_WIDTH)).astype(np.float32)


def run(expression):
    """Two vectors through a kernel and back."""
    kernel = compiled(expression)

    @compiled
    def apply(a, b, result):
        store(result, 0, kernel(load(a, 0), load(b, 0)))

    result = np.zeros(SIMD_WIDTH, np.float32)
    apply(A, B, result)
    return result


@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul, operator.truediv])
def test_arithmetic_works_lane_by_lane(op):
    np.testing.assert_allclose(run(lambda a, b: op(a, b)), op(A, B), rtol=1e-6)


@pytest.mark.parametrize("op", [operator.lt, operator.le, operator.gt, operator.ge])
def test_comparisons_choose_lane_by_lane(op):
    ties = np.where(np.arange(SIMD_WIDTH) % 3 == 0, A, B)
    chosen = np.zeros(SIMD_WIDTH, np.float32)

    @compiled
    def kernel(a, b, result):
        store(result, 0, select(op(load(a, 0), load(b, 0)), load(a, 0), ramp()))

    kernel(A, ties, chosen)
    np.testing.assert_array_equal(chosen, np.where(op(A, ties), A, np.arange(SIMD_WIDTH)))


def test_numbers_are_spread_over_the_lanes():
    np.testing.assert_allclose(run(lambda a, b: 2.0 * a - np.float32(1)), 2 * A - 1, rtol=1e-6)


def test_what_is_not_a_number_compares_false_and_is_not_chosen():
    odd = A.copy()
    odd[3] = np.nan
    result = np.zeros(SIMD_WIDTH, np.float32)

    @compiled
    def kernel(a, result):
        values = load(a, 0)
        store(result, 0, select((values > 0.0) & (values < 9.0), values, np.float32(-1)))

    kernel(odd, result)
    np.testing.assert_array_equal(result, np.where(np.isnan(odd), -1, odd))


def test_a_vector_starts_anywhere_in_an_array():
    source, target = np.arange(3 * SIMD_WIDTH, dtype=np.float32), np.zeros(3 * SIMD_WIDTH, np.float32)

    @compiled
    def shift(source, target):
        store(target, 5, load(source, 2))

    shift(source, target)
    np.testing.assert_array_equal(target[5 : 5 + SIMD_WIDTH], source[2 : 2 + SIMD_WIDTH])
    assert not target[:5].any()
    assert not target[5 + SIMD_WIDTH :].any()


def test_sums_and_questions_over_all_lanes():
    @compiled
    def kernel(a, limit):
        return total(load(a, 0)), any_true(load(a, 0) > limit)

    summed, found = kernel(A, A.max() - np.float32(1e-3))
    assert summed == pytest.approx(A.sum(), rel=1e-6)
    assert found
    assert not kernel(A, A.max())[1]
