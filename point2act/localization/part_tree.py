"""A surface cut into parts at every scale: what a sentence may mean, before anybody has asked. numpy only.

A knob, the drawer it sits on, the chest: each is a piece of surface that hangs together in place, colour
and direction. Ward's clustering finds them all at once, as the branches of one tree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.cluster.hierarchy import ward
from scipy.spatial import KDTree

# At most so many cells along an axis, for their numbers to fit into 64 bits.
_CELLS = 1e6
_WHITE = np.array([0.95047, 1.0, 1.08883])
"""Of the D65 daylight that sRGB is meant for (IEC 61966-2-1), and the matrix to its tristimulus values."""
_SRGB = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


@dataclass(frozen=True)
class PartsConfig:
    """What belongs together. Tuned on the tables of ``python -m benchmarks localisation`` with seeds 0-4."""

    apart: float = 0.03
    """Two points this far from each other, as an angle seen from the cameras, are as different ..."""
    shade: float = 10.0
    """... as two colours so far apart in CIELAB ..."""
    turn: float = 2.0
    """... and as two normals that are turned until their outer products differ this much (at most 1.4)."""
    neighbours: int = 12
    """So many points make a normal."""
    least: int = 8
    """A part has at least so many points ..."""
    largest: float = 0.14
    """... which scatter by at most this angle (root mean square): 9 cm at half a metre."""
    plainness: float = 0.02
    """Weight of a branch that hardly differs from the one it grows from; one that differs e-fold has 1."""
    pieces: int = 4000
    """With more points than this, cells of a grid are clustered instead: time and memory grow with its
    square (0.2 s, 64 MB)."""
    ground_pieces: int = 1000
    """The same for the ground, of which less needs to be known."""
    ground_share: float = 0.05
    """How likely, before anybody has spoken, a piece of the ground is meant rather than a thing on it."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Pieces of a surface, from small to large; they overlap. Part k is ``order[first[k]:end[k]]``."""

    points: Float[np.ndarray, "n 3"]
    order: Int[np.ndarray, " m"]
    """Points by number, sorted so that every part is a run of them."""
    first: Int[np.ndarray, " k"]
    end: Int[np.ndarray, " k"]
    prior: Float[np.ndarray, " k"]
    """How likely each is to be meant before anybody has spoken; sums to 1."""
    things: Bool[np.ndarray, " n"]
    """Points that are not ground."""
    distance: float
    """How far the cameras are, in the unit of the points: what turns angles into lengths."""

    def __len__(self) -> int:
        return len(self.first)

    def members(self, part: int) -> Int[np.ndarray, " p"]:
        """The part's points by number."""
        return self.order[self.first[part] : self.end[part]]

    def sums(self, values: Float[np.ndarray, "n *rest"]) -> Float[np.ndarray, "k *rest"]:
        """Of the points' values, over every part."""
        running = np.zeros((len(self.order) + 1, *values.shape[1:]))
        np.cumsum(values[self.order], axis=0, out=running[1:])
        return running[self.end] - running[self.first]


def find_parts(
    points: Float[np.ndarray, "n 3"],
    colors: Float[np.ndarray, "n 3"],
    ground: Bool[np.ndarray, " n"],
    *,
    distance: float,
    config: PartsConfig = PartsConfig(),
) -> Parts:
    """Cut a surface into parts by Ward's hierarchical clustering (Ward 1963).

    ``colors`` are sRGB in [0, 1]; ``ground`` tells what things stand on, which is cut on its own;
    ``distance`` is how far the cameras are, in the unit of the points. Every branch of the trees that is
    neither too small nor too large is a part; the more it differs from the branch it grows from, the
    likelier it is one that has a name.
    """
    points = points.astype(float)  # scenes are float32, too little for sums over all of their points
    features = _features(points, colors, config.apart * distance, config)
    trees = []
    for chosen, pieces, share in (
        (~ground, config.pieces, 1 - config.ground_share),
        (ground, config.ground_pieces, config.ground_share),
    ):
        index = np.flatnonzero(chosen)
        cells = _cells(points[index], config.apart * distance / 8, pieces)
        trees.append((index, share, *_branches(features[index], cells)))
    order = np.concatenate([index[sorted_] for index, _, sorted_, _, _, _ in trees])
    before = [0, len(trees[0][0])]
    first = np.concatenate([tree[3] + start for tree, start in zip(trees, before, strict=True)])
    end = np.concatenate([tree[4] + start for tree, start in zip(trees, before, strict=True)])
    rise = np.concatenate([tree[5] for tree in trees])
    fit = end - first >= config.least
    fit[fit] = _scatter(points[order], first[fit], end[fit]) < config.largest * distance
    on_ground = (first >= before[1])[fit]
    weight = np.maximum(rise[fit], config.plainness)
    shares = np.where(on_ground, config.ground_share, 1 - config.ground_share)
    totals = np.array([weight[~on_ground].sum(), weight[on_ground].sum()])
    prior = shares * weight / np.maximum(totals[on_ground.astype(int)], 1e-12)
    return Parts(points, order, first[fit], end[fit], prior / max(prior.sum(), 1e-12), ~ground, distance)


def _features(
    points: Float[np.ndarray, "n 3"], colors: Float[np.ndarray, "n 3"], unit: float, config: PartsConfig
) -> Float[np.ndarray, "n 15"]:
    """Place, colour and normal in units that count alike.

    A normal has no sign here: its outer product with itself stands for it.
    """
    normals = _normals(points, config.neighbours)
    outer = (normals[:, :, None] * normals[:, None]).reshape(-1, 9)
    return np.concatenate([points / unit, _lab(colors) / config.shade, outer / config.turn], axis=1)


def _normals(points: Float[np.ndarray, "n 3"], count: int) -> Float[np.ndarray, "n 3"]:
    """The direction in which each point's neighbours scatter least; its sign means nothing."""
    if len(points) == 0:
        return points
    _, near = KDTree(points).query(points, k=min(count, len(points)))
    about = points[near.reshape(len(points), -1)]
    about = about - about.mean(axis=1, keepdims=True)
    return np.linalg.eigh(np.einsum("nki,nkj->nij", about, about))[1][:, :, 0]


def _lab(colors: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """sRGB to CIELAB (CIE 15:2004), in which distances are about as large as people find them."""
    c = np.clip(colors, 0, 1)
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    t = linear @ _SRGB.T / _WHITE
    x, y, z = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def _cells(points: Float[np.ndarray, "n 3"], size: float, most: int) -> Int[np.ndarray, " n"]:
    """Which cell each point is in: its own, or where there are too many points, one of a grid's."""
    if len(points) <= most:
        return np.arange(len(points))
    size = max(size, float(np.ptp(points, axis=0).max()) / _CELLS)
    while True:
        steps = np.floor(points / size).astype(np.int64)
        steps -= steps.min(axis=0)
        counts = steps.max(axis=0) + 1
        # One number a cell: sorting rows takes four times as long.
        _, cells = np.unique(np.ravel_multi_index(tuple(steps.T), tuple(counts)), return_inverse=True)
        if cells.max() < most:
            return cells
        size *= 1.25


def _branches(
    features: Float[np.ndarray, "n f"], cells: Int[np.ndarray, " n"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " b"], Int[np.ndarray, " b"], Float[np.ndarray, " b"]]:
    """Points sorted along the tree; every branch's first and end in that order, and how far it stands out.

    A branch stands out by the logarithm of how much higher the tree joins it to another than it joins its
    own two halves. The root, which joins nothing, stands out as little as can be.
    """
    count = int(cells.max(initial=-1)) + 1
    if count < 2:
        whole = np.arange(len(cells))
        return whole, np.zeros(count, int), np.full(count, len(cells)), np.zeros(count)
    size = np.bincount(cells, minlength=count)
    middle = np.stack([np.bincount(cells, column, count) for column in features.T], axis=1) / size[:, None]
    tree = ward(middle)
    pairs, height = tree[:, :2].astype(int), np.maximum(tree[:, 2], 1e-9)
    total, joined = np.concatenate([size, np.zeros(count - 1, int)]), np.zeros(2 * count - 1)
    joined[-1] = height[-1]
    for number, (left, right) in enumerate(pairs, start=count):
        total[number] = total[left] + total[right]
        joined[[left, right]] = height[number - count]
    first = np.zeros(2 * count - 1, int)
    for number in range(2 * count - 2, count - 1, -1):
        left, right = pairs[number - count]
        first[left], first[right] = first[number], first[number] + total[left]
    order = np.argsort(first[:count][cells], kind="stable")
    return order, first[count:], (first + total)[count:], np.log(joined[count:] / height)


def _scatter(
    points: Float[np.ndarray, "m 3"], first: Int[np.ndarray, " k"], end: Int[np.ndarray, " k"]
) -> Float[np.ndarray, " k"]:
    """Root mean square distance of runs of points from their middles."""
    moments = np.concatenate([points, (points**2).sum(axis=1, keepdims=True)], axis=1)
    running = np.concatenate([np.zeros((1, 4)), np.cumsum(moments, axis=0)])
    mean = (running[end] - running[first]) / np.maximum(end - first, 1)[:, None]
    return np.sqrt(np.maximum(mean[:, 3] - (mean[:, :3] ** 2).sum(axis=1), 0))
