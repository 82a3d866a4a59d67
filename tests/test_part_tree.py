import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from point2act.localization.part_tree import Parts, PartTreeConfig, _lab, build_part_tree

RED, BLUE, GREY = (0.8, 0.1, 0.1), (0.1, 0.2, 0.8), (0.6, 0.6, 0.6)
ASIDE = np.array([0.08, 0.0, 0.0])
# With these, most branches of random points are parts too.
LOOSE = PartTreeConfig(min_points=2, max_scatter=0.5)


def soup(seed: int, count: int, ground: float = 0.3):
    """Random points, colours and ground: nothing in it belongs together."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.2, 0.2, (count, 3)), rng.uniform(0, 1, (count, 3)), rng.random(count) < ground


def sheet(shape, color, *, seed: int = 0, count: int = 400, extent: float = 0.06):
    """Random points on a plane where ``shape`` of x and y holds, all of a colour, give or take."""
    rng = np.random.default_rng(seed)
    at = rng.uniform(-extent, extent, (8 * count, 2))
    at = at[shape(*at.T)][:count]
    points = np.concatenate([at, rng.normal(0, 1e-4, (len(at), 1))], axis=1)
    return points, np.clip(color + rng.normal(0, 0.01, points.shape), 0, 1)


def both(one, other):
    points, colors = (np.concatenate(pair) for pair in zip(one, other, strict=True))
    return points, colors, np.arange(len(points)) >= len(one[0])


def overlap(parts: Parts, wanted: np.ndarray) -> float:
    """The best intersection over union of any part with a set of points."""
    size = parts.end - parts.first
    common = parts.sums(wanted.astype(float))
    return float((common / (size + wanted.sum() - common)).max())


def as_sets(parts: Parts) -> dict[frozenset[int], float]:
    """Every part's points, and its prior; runs that hold the same points are one."""
    found: dict[frozenset[int], float] = {}
    for part, prior in enumerate(parts.prior):
        members = frozenset(parts.members(part).tolist())
        found[members] = found.get(members, 0.0) + float(prior)
    return found


# ── a tree, cut into parts ─────────────────────────────────────────────────────────────────────
@given(st.integers(0, 10**6), st.integers(3, 120), st.sampled_from([0.0, 0.3, 1.0]), st.integers(1, 12))
def test_parts_are_runs_that_nest_or_are_disjoint(seed: int, count: int, share: float, least: int):
    points, colors, ground = soup(seed, count, share)
    config = PartTreeConfig(min_points=least, max_scatter=0.2)
    parts = build_part_tree(points, colors, ground, distance=0.5, config=config)
    assert sorted(parts.order) == list(range(count))
    np.testing.assert_array_equal(parts.things, ~ground)
    sets = [set(parts.members(part).tolist()) for part in range(len(parts))]
    for part, members in enumerate(sets):
        index = sorted(members)
        assert len(index) == parts.end[part] - parts.first[part] >= least
        assert len(set(ground[index])) == 1
        middle = points[index].mean(axis=0)
        assert np.sqrt(((points[index] - middle) ** 2).sum(axis=1).mean()) < 0.2 * 0.5 + 1e-9
        assert all(not members & other or members <= other or other <= members for other in sets)


@given(st.integers(0, 10**6), st.integers(3, 120), st.sampled_from([0.0, 0.3, 1.0]), st.integers(1, 12))
def test_the_object_of_a_point_is_its_largest_part_against_a_slow_twin(seed, count, share, least):
    config = PartTreeConfig(min_points=least, max_scatter=0.2)
    parts = build_part_tree(*soup(seed, count, share), distance=0.5, config=config)
    sets = [frozenset(parts.members(part).tolist()) for part in range(len(parts))]
    for point in range(count):
        largest = max((one for one in sets if point in one), key=len, default=None)
        together = np.flatnonzero(parts.objects == parts.objects[point])
        assert (parts.objects[point] < 0) == (largest is None)
        assert largest is None or largest == frozenset(together.tolist())


@given(st.integers(0, 10**6), st.integers(30, 120), st.sampled_from([0.0, 0.3, 1.0]))
def test_priors_sum_to_one_and_leave_the_ground_its_share(seed: int, count: int, share: float):
    points, colors, ground = soup(seed, count, share)
    parts = build_part_tree(points, colors, ground, distance=1.0, config=LOOSE)
    assert parts.prior.sum() == pytest.approx(1)
    assert (parts.prior > 0).all()
    on_ground = np.array([not parts.things[parts.members(part)].any() for part in range(len(parts))])
    if on_ground.any() and not on_ground.all():
        assert parts.prior[on_ground].sum() == pytest.approx(LOOSE.ground_prior)


@given(st.integers(0, 10**6), st.sampled_from([(), (2,), (2, 3)]))
def test_sums_against_a_slow_twin(seed: int, rest: tuple[int, ...]):
    parts = build_part_tree(*soup(seed, 60), distance=1.0, config=LOOSE)
    values = np.random.default_rng(seed).normal(size=(60, *rest))
    slow = [sum((values[i] for i in parts.members(part)), np.zeros(rest)) for part in range(len(parts))]
    np.testing.assert_allclose(parts.sums(values), np.array(slow), atol=1e-12)


@given(st.integers(0, 10**6))
def test_the_marginal_against_a_slow_twin(seed: int):
    parts = build_part_tree(*soup(seed, 60), distance=1.0, config=LOOSE)
    posterior = np.random.default_rng(seed).dirichlet(np.ones(len(parts) + 1))[1:]
    slow = np.zeros(60)
    for part, probability in enumerate(posterior):
        for point in parts.members(part):
            slow[point] += probability
    np.testing.assert_allclose(parts.marginal(posterior), slow, atol=1e-12)


# ── laws ───────────────────────────────────────────────────────────────────────────────────────
@given(st.integers(0, 10**6), st.floats(0.01, 100.0))
def test_neither_place_nor_direction_nor_scale_matters(seed: int, scale: float):
    points, colors, ground = soup(seed, 80)
    rotation = Rotation.from_quat(np.random.default_rng(seed).normal(size=4)).as_matrix()
    moved = scale * (points @ rotation.T + [1.0, -2.0, 0.5])
    here = as_sets(build_part_tree(points, colors, ground, distance=0.5, config=LOOSE))
    there = as_sets(build_part_tree(moved, colors, ground, distance=0.5 * scale, config=LOOSE))
    assert here.keys() == there.keys()
    assert [there[part] for part in here] == pytest.approx(list(here.values()), rel=1e-5)


@given(st.integers(0, 10**6))
def test_the_order_of_points_does_not_matter(seed: int):
    points, colors, ground = soup(seed, 80)
    shuffled = np.random.default_rng(seed).permutation(80)
    here = as_sets(build_part_tree(points, colors, ground, distance=0.5, config=LOOSE))
    there = as_sets(
        build_part_tree(points[shuffled], colors[shuffled], ground[shuffled], distance=0.5, config=LOOSE)
    )
    renamed = {frozenset(shuffled[list(part)].tolist()): prior for part, prior in there.items()}
    assert here.keys() == renamed.keys()
    assert [renamed[part] for part in here] == pytest.approx(list(here.values()), rel=1e-6)


def test_single_precision_gives_the_same_parts():
    """Scenes come in float32: running sums over many points must not lose what is in small parts."""
    points, colors, ground = soup(0, 20_000)
    points, config = (points + 1).astype(np.float32), PartTreeConfig(max_cells=300, max_ground_cells=100)
    one = build_part_tree(points, colors, ground, distance=0.5, config=config)
    other = build_part_tree(points.astype(float), colors, ground, distance=0.5, config=config)
    assert as_sets(one) == pytest.approx(as_sets(other))


# ── things are found ───────────────────────────────────────────────────────────────────────────
def test_two_blobs_of_one_colour_are_two_parts():
    left, colors = sheet(lambda x, y: x**2 + y**2 < 0.02**2, RED)
    points, colors, second = both((left, colors), (left + ASIDE, colors))
    parts = build_part_tree(points, colors, np.zeros(len(points), bool), distance=0.5)
    assert overlap(parts, second) == overlap(parts, ~second) == 1


def test_two_colours_side_by_side_are_two_parts():
    left = sheet(lambda x, y: (np.abs(x + 0.02) < 0.02) & (np.abs(y) < 0.02), RED)
    right = sheet(lambda x, y: (np.abs(x - 0.02) < 0.02) & (np.abs(y) < 0.02), BLUE, seed=1)
    points, colors, second = both(left, right)
    parts = build_part_tree(points, colors, np.zeros(len(points), bool), distance=0.5)
    assert overlap(parts, second) > 0.95
    assert overlap(parts, ~second) > 0.95
    assert overlap(parts, np.ones(len(points), bool)) == 1


def test_the_two_colours_of_a_t_are_its_parts():
    """The stem's middle is nearer to the beam than the beam's ends are: place alone would cut it wrongly."""
    beam = sheet(lambda x, y: (np.abs(x) < 0.05) & (np.abs(y - 0.04) < 0.01), RED)
    stem = sheet(lambda x, y: (np.abs(x) < 0.01) & (np.abs(y + 0.01) < 0.04), BLUE, seed=1)
    points, colors, second = both(beam, stem)
    parts = build_part_tree(points, colors, np.zeros(len(points), bool), distance=0.5)
    assert overlap(parts, second) > 0.95
    assert overlap(parts, ~second) > 0.95


def test_a_thing_is_distinguished_from_ground_of_its_colour():
    thing = sheet(lambda x, y: x**2 + y**2 < 0.02**2, GREY)
    table = sheet(lambda x, y: x**2 + y**2 > 0.02**2, GREY, seed=1)
    points, colors, ground = both(thing, table)
    parts = build_part_tree(points, colors, ground, distance=0.5)
    assert overlap(parts, ~ground) == 1


def test_what_stands_out_is_likelier_than_a_piece_of_it():
    left, colors = sheet(lambda x, y: x**2 + y**2 < 0.02**2, RED)
    points, colors, second = both((left, colors), (left + ASIDE, colors))
    sets = as_sets(build_part_tree(points, colors, np.zeros(len(points), bool), distance=0.5))
    blobs = {frozenset(np.flatnonzero(which).tolist()) for which in (second, ~second)}
    assert min(sets[blob] for blob in blobs) > max(sets[part] for part in sets.keys() - blobs)


# ── what a gap separates ───────────────────────────────────────────────────────────────────────
def board_and_block(size: tuple[float, float], away: float, seed: int):
    """A board and a block of its colour beside it, 4 mm from point to point, and which one is the block."""
    rng = np.random.default_rng(seed)
    board = rng.uniform(-0.5, 0.5, (int(size[0] * size[1] / 0.004**2), 2)) * size
    block = rng.uniform(-0.015, 0.015, (60, 2)) + np.array([size[0] / 2 + away + 0.015, 0.0])
    points = np.pad(np.concatenate([board, block]), ((0, 0), (0, 1)))
    return points + rng.normal(0, 3e-4, points.shape), np.arange(len(points)) >= len(board)


def object_of(parts: Parts, wanted: np.ndarray) -> np.ndarray:
    """Which points belong to the object of a thing's first point."""
    return parts.objects == parts.objects[np.flatnonzero(wanted)[0]]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("away", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("size", [(0.16, 0.22), (0.2, 0.2), (0.08, 0.25), (0.1, 0.1)])
def test_a_large_thing_beside_a_small_one_is_whole(size: tuple[float, float], away: float, seed: int):
    points, small = board_and_block(size, away, seed)
    colors, ground = np.full(points.shape, 0.6), np.zeros(len(points), bool)
    parts = build_part_tree(points, colors, ground, distance=0.6)
    for thing in (small, ~small):
        assert overlap(parts, thing) == 1
        np.testing.assert_array_equal(object_of(parts, thing), thing)


@pytest.mark.parametrize("seed", range(3))
def test_crumbs_are_in_no_part_of_a_thing(seed: int):
    """Single points that noise leaves above a table, everywhere."""
    points, small = board_and_block((0.16, 0.22), 0.1, seed)
    crumbs = np.random.default_rng(seed).uniform([-0.3, -0.3, 0.02], [0.3, 0.3, 0.3], (100, 3))
    everything = np.concatenate([points, crumbs])
    small, crumb = np.pad(small, (0, 100)), np.arange(len(everything)) >= len(points)
    colors, ground = np.full(everything.shape, 0.6), np.zeros(len(everything), bool)
    parts = build_part_tree(everything, colors, ground, distance=0.6)
    for thing in (small, ~small & ~crumb):
        assert overlap(parts, thing) == 1
        np.testing.assert_array_equal(object_of(parts, thing), thing)


def test_a_narrow_gap_separates_nothing():
    points, _ = board_and_block((0.1, 0.1), 0.004, 0)
    colors, ground = np.full(points.shape, 0.6), np.zeros(len(points), bool)
    parts = build_part_tree(points, colors, ground, distance=0.6)
    assert overlap(parts, np.ones(len(points), bool)) == 1


@pytest.mark.parametrize("spacing", [0.005, 0.02, 0.05])
def test_sparse_points_are_connected(spacing: float):
    ticks = spacing * np.arange(-5, 6)
    points = np.stack(np.meshgrid(ticks, ticks, [0.0]), axis=-1).reshape(-1, 3)
    config = PartTreeConfig(max_scatter=2.0)
    parts = build_part_tree(points, points * 0, np.zeros(len(points), bool), distance=0.6, config=config)
    assert overlap(parts, np.ones(len(points), bool)) == 1


def test_a_thing_alone_is_likelier_than_most_of_its_pieces():
    points, small = board_and_block((0.16, 0.22), 0.1, 0)
    board = points[~small]
    parts = build_part_tree(board, np.full(board.shape, 0.6), np.zeros(len(board), bool), distance=0.6)
    whole = parts.prior[parts.end - parts.first == len(board)]
    assert whole.max() > np.quantile(parts.prior, 0.8)


# ── more points than are clustered ─────────────────────────────────────────────────────────────
def test_thinning_to_cells_loses_no_point():
    points, colors, ground = soup(0, 900)
    config = PartTreeConfig(max_cells=100, max_ground_cells=40)
    parts = build_part_tree(points, colors, ground, distance=0.5, config=config)
    assert sorted(parts.order) == list(range(900))
    assert 0 < len(parts) < 140
    sets = as_sets(parts)
    assert all(not a & b or a <= b or b <= a for a in sets for b in sets)


def test_thinned_things_are_found_whole():
    left, colors = sheet(lambda x, y: x**2 + y**2 < 0.02**2, RED)
    points, colors, second = both((left, colors), (left + ASIDE, colors))
    config = PartTreeConfig(max_cells=100)
    parts = build_part_tree(points, colors, np.zeros(len(points), bool), distance=0.5, config=config)
    assert overlap(parts, second) == overlap(parts, ~second) == 1


# ── colour ─────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("srgb", "lab"),
    [
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
    ],
)
def test_known_colours(srgb: tuple, lab: tuple):
    np.testing.assert_allclose(_lab(np.array([srgb], float))[0], lab, atol=0.05)


@given(st.floats(0, 1))
def test_grey_has_no_hue(shade: float):
    np.testing.assert_allclose(_lab(np.full((1, 3), shade))[0, 1:], 0, atol=0.02)


@given(arrays(float, (5, 3), elements=st.floats(-2, 3)))
def test_colours_out_of_range_are_the_nearest_in_range(colors: np.ndarray):
    np.testing.assert_array_equal(_lab(colors), _lab(np.clip(colors, 0, 1)))


# ── degenerate ─────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("ground", [False, True])
def test_next_to_nothing(count: int, ground: bool):
    points, colors, _ = soup(0, count)
    config = PartTreeConfig(min_points=1, max_scatter=1.0)
    parts = build_part_tree(points, colors, np.full(count, ground), distance=0.5, config=config)
    assert sorted(parts.order) == list(range(count))
    assert len(parts) == (count > 0)
    assert parts.prior.sum() == pytest.approx(float(count > 0))
    assert parts.sums(np.ones(count)).tolist() == [count] * len(parts)


def test_too_few_points_for_any_part():
    parts = build_part_tree(*soup(0, 5), distance=0.5)
    assert len(parts) == 0
    assert parts.sums(np.ones((5, 2))).shape == (0, 2)


@pytest.mark.parametrize("ground", [False, True])
def test_points_all_in_one_place(ground: bool):
    points = np.full((40, 3), 0.3)
    parts = build_part_tree(points, points, np.full(40, ground), distance=0.5)
    assert np.isfinite(parts.prior).all()
    assert parts.prior.sum() == pytest.approx(1)
    assert overlap(parts, np.ones(40, bool)) == 1


def test_points_all_in_one_place_are_thinned_too():
    points = np.full((40, 3), 0.3)
    config = PartTreeConfig(max_cells=10)
    parts = build_part_tree(points, points, np.zeros(40, bool), distance=0.5, config=config)
    assert [len(parts.members(part)) for part in range(len(parts))] == [40]


def test_what_is_larger_than_any_part_has_parts():
    points, colors, ground = soup(0, 300, ground=0.0)
    small = build_part_tree(
        points, colors, ground, distance=0.5, config=PartTreeConfig(min_points=1, max_scatter=0.1)
    )
    assert overlap(small, np.ones(300, bool)) < 1
    assert (small.sums(np.ones(300)) >= 1).all()
