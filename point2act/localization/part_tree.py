"""Hierarchical segmentation of a surface into parts at every scale. numpy only.

A knob, its drawer and the chest are each connected in position, colour and normal. Ward clustering finds all
of them as branches of one tree. What a gap separates is in different trees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.cluster.hierarchy import ward
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from point2act.core.pieces import connected_pieces

# Maximum number of cells along an axis, so that cell indices fit into 64 bits.
_CELLS = 1e6
_WHITE = np.array([0.95047, 1.0, 1.08883])
"""White point D65 of sRGB (IEC 61966-2-1); ``_SRGB`` is the matrix to its tristimulus values."""
_SRGB = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


@dataclass(frozen=True)
class PartTreeConfig:
    """Feature scales and sizes of parts."""

    # Tuned on the tables of ``python -m benchmarks localisation`` with seeds 0-4.

    position_scale: float = 0.03
    """Unit of position in the features, as an angle seen from the cameras, radians."""
    color_scale: float = 10.0
    """Unit of colour in the features, CIELAB distance."""
    normal_scale: float = 2.0
    """Unit of normals in the features, difference of their outer products (at most 1.4)."""
    neighbours: int = 12
    """Number of neighbours that a normal is estimated from."""
    gap: float = 0.02
    """Largest distance of connected points, as an angle, radians: 1 cm at 0.5 m; more for sparse points."""
    # On simulated tables things are whole, and apart, with 0.015 to 0.03; their points are 0.009 apart.
    min_points: int = 8
    """Minimum number of points of a part."""
    max_scatter: float = 0.2
    """Maximum root mean square radius of a part, as an angle, radians: 10 cm at 0.5 m."""
    min_weight: float = 0.02
    """Minimum prior weight of a branch; one that merges e times higher than its halves has weight 1."""
    max_cells: int = 4000
    """Maximum number of clustered items; with more points, grid cells are clustered instead."""
    # Time and memory are quadratic: 0.2 s and 64 MB at 4000.
    max_ground_cells: int = 1000
    """Maximum number of clustered items on the ground."""
    ground_prior: float = 0.05
    """Prior probability that a query means a part of the ground."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Overlapping parts of a surface, at every scale. Part k is ``order[first[k]:end[k]]``."""

    points: Float[np.ndarray, "n 3"]
    order: Int[np.ndarray, " m"]
    """Indices of points, sorted so that every part is contiguous."""
    first: Int[np.ndarray, " k"]
    end: Int[np.ndarray, " k"]
    prior: Float[np.ndarray, " k"]
    """Prior probability that a query means the part; sums to 1."""
    things: Bool[np.ndarray, " n"]
    """Points that are not ground."""
    objects: Int[np.ndarray, " n"]
    """For every point the number of its object, a part that no other one contains; -1 for none."""
    distance: float
    """Distance of the cameras, in the unit of the points: converts angles to lengths."""

    def __len__(self) -> int:
        return len(self.first)

    def members(self, part: int) -> Int[np.ndarray, " p"]:
        """Return the indices of the part's points."""
        return self.order[self.first[part] : self.end[part]]

    def sums(self, values: Float[np.ndarray, "n *rest"]) -> Float[np.ndarray, "k *rest"]:
        """Sum values of the points over every part."""
        running = np.zeros((len(self.order) + 1, *values.shape[1:]))
        np.cumsum(values[self.order], axis=0, out=running[1:])
        return running[self.end] - running[self.first]

    def marginal(self, probabilities: Float[np.ndarray, " k"]) -> Float[np.ndarray, " n"]:
        """Return for every point the total probability of the parts that contain it."""
        steps = np.zeros(len(self.order) + 1)
        np.add.at(steps, self.first, probabilities)
        np.subtract.at(steps, self.end, probabilities)
        values = np.zeros(len(self.points))
        # Rounding of the running sum must not leave the range of probabilities.
        values[self.order] = np.clip(np.cumsum(steps[:-1]), 0.0, 1.0)
        return values


def build_part_tree(
    points: Float[np.ndarray, "n 3"],
    colors: Float[np.ndarray, "n 3"],
    ground: Bool[np.ndarray, " n"],
    *,
    distance: float,
    config: PartTreeConfig = PartTreeConfig(),
) -> Parts:
    """Build the trees of parts by Ward's hierarchical clustering (Ward 1963).

    Every connected piece has a tree of its own: by Ward's costs alone, half of a board merges with a knife
    beside it before it does with its other half. Every branch that is neither too small nor too large is a
    part. Its prior weight is log(h_parent / h_own), with the merge heights h: the more a branch differs from
    its parent, the more likely it has a name.

    Args:
        points: Surface points, any unit.
        colors: sRGB in [0, 1].
        ground: Points on supporting planes, clustered separately.
        distance: Distance of the cameras, in the unit of the points.
    """
    points = points.astype(float)  # scenes are float32, too little for sums over all of their points
    unit = config.position_scale * distance
    near, spacing = _nearest(points, config.neighbours)
    features = _features(points, colors, near, unit, config)
    trees = []
    for chosen, most, share in (
        (~ground, config.max_cells, 1 - config.ground_prior),
        (ground, config.max_ground_cells, config.ground_prior),
    ):
        index = np.flatnonzero(chosen)
        cells, size = _cells(points[index], unit / 8, most)
        gap = max(config.gap * distance, spacing, 2 * size)
        trees.append((index, share, *_branches(features[index], cells, gap / unit, config)))
    order = np.concatenate([index[sorted_] for index, _, sorted_, _, _, _ in trees])
    before = [0, len(trees[0][0])]
    first = np.concatenate([tree[3] + start for tree, start in zip(trees, before, strict=True)])
    end = np.concatenate([tree[4] + start for tree, start in zip(trees, before, strict=True)])
    rise = np.concatenate([tree[5] for tree in trees])
    fit = end - first >= config.min_points
    fit[fit] = _scatter(points[order], first[fit], end[fit]) < config.max_scatter * distance
    on_ground = (first >= before[1])[fit]
    weight = np.maximum(rise[fit], config.min_weight)
    shares = np.where(on_ground, config.ground_prior, 1 - config.ground_prior)
    totals = np.array([weight[~on_ground].sum(), weight[on_ground].sum()])
    prior = shares * weight / np.maximum(totals[on_ground.astype(int)], 1e-12)
    prior /= max(prior.sum(), 1e-12)
    objects = outermost(order, first[fit], end[fit])
    return Parts(points, order, first[fit], end[fit], prior, ~ground, objects, distance)


def outermost(
    order: Int[np.ndarray, " m"], first: Int[np.ndarray, " k"], end: Int[np.ndarray, " k"]
) -> Int[np.ndarray, " m"]:
    """Return for every point the number of the part of a tree that no other one contains, -1 without any.

    Args:
        order: Indices of all points, each once.
        first: Start of every part in ``order``; likewise ``end``.
    """
    found = np.full(len(order), -1)
    count = reached = 0
    for part in np.lexsort((-end, first)).tolist():
        if end[part] > reached:
            found[order[first[part] : end[part]]] = count
            count, reached = count + 1, end[part]
    return found


def _features(
    points: Float[np.ndarray, "n 3"],
    colors: Float[np.ndarray, "n 3"],
    near: Int[np.ndarray, "n k"],
    unit: float,
    config: PartTreeConfig,
) -> Float[np.ndarray, "n 15"]:
    """Return scaled position, colour and normal; the outer product of a normal removes its sign."""
    normals = _normals(points, near)
    outer = (normals[:, :, None] * normals[:, None]).reshape(-1, 9)
    return np.concatenate(
        [points / unit, _lab(colors) / config.color_scale, outer / config.normal_scale], axis=1
    )


def _nearest(points: Float[np.ndarray, "n 3"], count: int) -> tuple[Int[np.ndarray, "n k"], float]:
    """Return the nearest points of each point, itself included, and the median distance of the last ones."""
    count = min(count, len(points))
    if count == 0:
        return np.zeros((0, 0), int), 0.0
    away, near = KDTree(points).query(points, k=range(1, count + 1))
    return near, float(np.median(away[:, -1]))


def _normals(points: Float[np.ndarray, "n 3"], near: Int[np.ndarray, "n k"]) -> Float[np.ndarray, "n 3"]:
    """Return the direction of least variance of each point's neighbours; its sign is arbitrary."""
    if len(points) == 0:
        return points
    about = points[near]
    about = about - about.mean(axis=1, keepdims=True)
    return np.linalg.eigh(np.einsum("nki,nkj->nij", about, about))[1][:, :, 0]


def _lab(colors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Convert sRGB to CIELAB (CIE 15:2004), in which distances are perceptually about uniform."""
    c = np.clip(colors, 0, 1)
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    t = linear @ _SRGB.T / _WHITE
    x, y, z = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def _cells(points: Float[np.ndarray, "n 3"], size: float, most: int) -> tuple[Int[np.ndarray, " n"], float]:
    """Return the cell of each point, its own or a grid cell if there are too many points, and their size."""
    if len(points) <= most:
        return np.arange(len(points)), 0.0
    size = max(size, float(np.ptp(points, axis=0).max()) / _CELLS)
    while True:
        steps = np.floor(points / size).astype(np.int64)
        steps -= steps.min(axis=0)
        counts = steps.max(axis=0) + 1
        # One index per cell: sorting rows takes four times as long.
        _, cells = np.unique(np.ravel_multi_index(tuple(steps.T), tuple(counts)), return_inverse=True)
        if cells.max() < most:
            return cells, size
        size *= 1.25


def _branches(
    features: Float[np.ndarray, "n f"], cells: Int[np.ndarray, " n"], gap: float, config: PartTreeConfig
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " b"], Int[np.ndarray, " b"], Float[np.ndarray, " b"]]:
    """Return points sorted along the trees, the range of every branch in that order, and its weight.

    The weight is log(h_parent / h_own) of the merge heights. The parent of a whole piece is what it would
    form with the piece that is cheapest to merge with.

    Args:
        features: Scaled position first.
        cells: The cell of every point.
        gap: Largest distance of connected cells, in scaled position.
    """
    count = int(cells.max(initial=-1)) + 1
    size = np.bincount(cells, minlength=count)
    middle = np.stack([np.bincount(cells, column, count) for column in features.T], axis=1) / size[:, None]
    pieces = connected_pieces(middle[:, :3], gap)
    # Crumbs form one more piece, the last: noise, or what is hardly reconstructed.
    large = np.bincount(pieces, size)[pieces] >= config.min_points
    pieces[~large] = count
    pairs, height, roots = _forest(middle, pieces)
    total, joined = np.append(size, np.zeros(len(pairs), int)), height.copy()
    apart = _cheapest_merge(middle[large], pieces[large])
    whole = roots[: len(apart)]
    joined[whole] = np.where(np.isfinite(apart), apart, np.e * height[whole])
    for number, (left, right) in enumerate(pairs.tolist(), start=count):
        total[number] = total[left] + total[right]
        joined[[left, right]] = height[number]
    first = np.zeros(len(total), int)
    first[roots] = np.cumsum(total[roots]) - total[roots]
    for number, (left, right) in reversed(list(enumerate(pairs.tolist(), start=count))):
        first[left], first[right] = first[number], first[number] + total[left]
    order = np.argsort(first[:count][cells], kind="stable")
    chosen = np.append(roots[roots < count], np.arange(count, len(total)))
    return order, first[chosen], (first + total)[chosen], np.log(joined / height)[chosen]


def _forest(
    middle: Float[np.ndarray, "c f"], pieces: Int[np.ndarray, " c"]
) -> tuple[Int[np.ndarray, "m 2"], Float[np.ndarray, " n"], Int[np.ndarray, " r"]]:
    """Cluster every piece; return merged pairs of nodes, the height of every node, and the roots.

    Nodes are the cells, then the pairs.
    """
    pairs, height, roots = [np.zeros((0, 2), int)], [np.full(len(pieces), 1e-9)], []
    made = len(pieces)
    order = np.argsort(pieces, kind="stable")
    for own in np.split(order, np.flatnonzero(np.diff(pieces[order])) + 1):
        if len(own) > 1:
            tree = ward(middle[own])
            pairs.append(np.append(own, made + np.arange(len(tree)))[tree[:, :2].astype(int)])
            height.append(np.maximum(tree[:, 2], 1e-9))
            made += len(tree)
        roots.extend([made - 1] if len(own) > 1 else own.tolist())
    return np.concatenate(pairs), np.concatenate(height), np.array(roots, int)


def _cheapest_merge(
    middle: Float[np.ndarray, "c f"], pieces: Int[np.ndarray, " c"]
) -> Float[np.ndarray, " k"]:
    """Return the least height at which each piece would merge with another one, infinite without any."""
    _, number, size = np.unique(pieces, return_inverse=True, return_counts=True)
    mean = np.stack([np.bincount(number, column) for column in middle.T], axis=1) / size[:, None]
    height = np.sqrt(2 * size * size[:, None] / (size + size[:, None])) * cdist(mean, mean)
    np.fill_diagonal(height, np.inf)
    return height.min(axis=1, initial=np.inf)


def _scatter(
    points: Float[np.ndarray, "m 3"], first: Int[np.ndarray, " k"], end: Int[np.ndarray, " k"]
) -> Float[np.ndarray, " k"]:
    """Return the root mean square distance of ranges of points from their means."""
    moments = np.concatenate([points, (points**2).sum(axis=1, keepdims=True)], axis=1)
    running = np.concatenate([np.zeros((1, 4)), np.cumsum(moments, axis=0)])
    mean = (running[end] - running[first]) / np.maximum(end - first, 1)[:, None]
    return np.sqrt(np.maximum(mean[:, 3] - (mean[:, :3] ** 2).sum(axis=1), 0))
