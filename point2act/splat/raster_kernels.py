"""Gaussians on the image plane to pixels, and back for gradients: one task for each tile. numba.

The mathematics is derived in :mod:`point2act.splat.render`. All arithmetic is float32. A row of a tile
is one vector (:mod:`point2act.splat.lanes`), so a Gaussian meets all pixels of a row at once. Each task
copies its tile into planes, one for each number that a pixel has, works there, and copies back.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from point2act.splat.compile_kernels import compiled, compiled_parallel
from point2act.splat.lanes import LANES, any_lane, load, ramp, select, store, total
from point2act.splat.tile_kernels import HEIGHT, pick, tile_bounds, touched_rows

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
ALPHA_MIN = np.float32(1 / 255)
"""Fainter contributions are skipped (Kerbl et al. 2023)."""
ALPHA_MAX = np.float32(0.999)
"""Denser ones are held to this (gsplat; Kerbl et al. have 0.99)."""
OPAQUE = np.float32(1e-4)
"""A Gaussian that would let less through is not drawn, nor any behind it (Kerbl et al. 2023)."""
SLACK = np.float32(0.01)
"""By which a Gaussian may exceed its reach, lest rounding cuts it: alphas are compared one by one later."""
LEAST = np.float32(-8)
"""e^-8 of any opacity is below 1/255."""
CHECK = 16
"""Gaussians between two looks at whether a tile is opaque already."""
MOMENTS = 6
"""Sums recorded for the gradients for one Gaussian's opacity, centre and shape."""
STRIDE = 1597
"""A prime, so that equal shares of the tiles in the order of multiples are equal shares of the work."""
PIXELS = LANES * HEIGHT
"""Numbers in a plane of a tile."""


@compiled
def _exp(x):
    """e^x for -8 <= x <= 0 to a relative 5e-7: a polynomial for e^(x / 8), and three squarings.

    The coefficients are a least-maximum fit (relative error 2.4e-8) of e^y on [-1, 0].
    """
    y = np.float32(0.125) * x
    p = np.float32(8.35845746e-4) * y + np.float32(7.61402351e-3)
    p = p * y + np.float32(4.11768257e-2)
    p = p * y + np.float32(0.166490286)
    p = p * y + np.float32(0.499969015)
    p = p * y + np.float32(0.999997903)
    p = p * y + np.float32(0.999999976)
    p = p * p
    p = p * p
    return p * p


@compiled
def _shuffled(task, count):
    """A permutation of the tiles, so that neighbours, alike in work, go to different threads."""
    return np.int64(task) * STRIDE % count if count % STRIDE else np.int64(task)


@compiled
def _to_planes(image, bounds, planes):
    """Copy a tile of (h, w, c) to c planes."""
    x0, x1, y0, y1 = bounds
    for y in range(y0, y1):
        for x in range(x0, x1):
            for k in range(image.shape[2]):
                planes[k * PIXELS + (y - y0) * LANES + x - x0] = image[y, x, k]


@compiled
def _from_planes(planes, bounds, image):
    """Copy c planes to a tile of (h, w, c)."""
    x0, x1, y0, y1 = bounds
    for y in range(y0, y1):
        for x in range(x0, x1):
            for k in range(image.shape[2]):
                image[y, x, k] = planes[k * PIXELS + (y - y0) * LANES + x - x0]


@compiled
def _plane(value):
    """A plane full of one value."""
    plane = np.empty(PIXELS, np.float32)
    for at in range(PIXELS):
        plane[at] = value
    return plane


@compiled
def _clear(bounds):
    """What shines through before anything is drawn: 1 in the image, 0 in the rest of a tile at its edge."""
    x0, x1, y0, y1 = bounds
    through = _plane(ZERO)
    for y in range(y1 - y0):
        for x in range(x1 - x0):
            through[y * LANES + x] = ONE
    return through


@compiled
def _is_full(through):
    """Whether nothing more can be drawn on any pixel of a tile."""
    most = load(through, 0)
    for at in range(LANES, PIXELS, LANES):
        here = load(through, at)
        most = select(here > most, here, most)
    return not any_lane(most > ZERO)


@compiled
def _largest(plane):
    """The largest number of a plane, as an integer."""
    largest = plane[0]
    for at in range(PIXELS):
        largest = max(largest, plane[at])
    return np.int64(largest)


@compiled
def _columns(x0, center):
    """How far the pixels of a tile's row lie to the right of a Gaussian's centre."""
    return ramp() + (np.float32(x0) + HALF - center[0])


@compiled
def _exponent(dx, dy, shape):
    """u, and the logarithm of the Gaussian's density relative to its centre, along a row."""
    u = dx - shape[1] * dy
    return u, (-HALF * shape[2] * dy * dy) - (HALF * shape[0]) * u * u


@compiled
def _alpha(opacity, exponent):
    """Density and alpha along a row. Exponents are held to -8, where alpha is below 1/255 anyway."""
    density = opacity * _exp(select(exponent > LEAST, exponent, LEAST))
    return density, select(density < ALPHA_MAX, density, ALPHA_MAX)


@compiled
def _cover(through, at, alpha):
    """Put a Gaussian on a row of pixels: take alpha of what still shines through; where, and the weights.

    ``through`` turns negative at the first Gaussian that would leave less than ``OPAQUE``: from then on
    nothing is drawn there.
    """
    now = load(through, at)
    after = now * (ONE - alpha)
    seen = alpha >= ALPHA_MIN
    drawn = seen & (after > OPAQUE)
    closed = seen & (after <= OPAQUE) & (now > ZERO)
    store(through, at, select(drawn, after, select(closed, ZERO - now, now)))
    return drawn, select(drawn, alpha * now, ZERO)


@compiled
def _draw(tile, splats, features, tiles, image, transmittance, last):
    height, width, channels = image.shape
    bounds = tile_bounds(tile, width, height)
    x0, _, y0, y1 = bounds
    through = _clear(bounds)
    latest = _plane(-ONE)
    picture = np.zeros(channels * PIXELS, np.float32)
    for number in range(tiles.start[tile + 1] - tiles.start[tile]):
        if number % CHECK == CHECK - 1 and _is_full(through):
            break
        i = tiles.members[tiles.start[tile] + number]
        center, shape, opacity, reach = pick(splats, i)
        dx = _columns(x0, center)
        low, high = touched_rows(center, reach, y0, y1)
        for y in range(low, high):
            _, exponent = _exponent(dx, np.float32(y) + HALF - center[1], shape)
            if any_lane(exponent > -reach[0] - SLACK):
                at = (y - y0) * LANES
                _, alpha = _alpha(opacity, exponent)
                drawn, weight = _cover(through, at, alpha)
                store(latest, at, select(drawn, np.float32(number), load(latest, at)))
                for k in range(channels):
                    spot = k * PIXELS + at
                    store(picture, spot, load(picture, spot) + weight * features[i, k])
    for at in range(0, PIXELS, LANES):
        left = load(through, at)
        store(through, at, select(left > ZERO, left, ZERO - left))
    _from_planes(picture, bounds, image)
    _from_planes(through, bounds, transmittance)
    _from_planes(latest, bounds, last)


@compiled_parallel
def draw(splats, features, tiles, image, transmittance, last):
    """Fill the last three: (h, w, c), (h, w, 1), and (h, w, 1) with the place in its tile's list of the last
    Gaussian drawn on each pixel, -1 for none.
    """
    count = len(tiles.start) - 1
    for task in prange(count):
        _draw(_shuffled(task, count), splats, features, tiles, image, transmittance, last)


@compiled
def _differentiate(tile, splats, features, tiles, transmittance, last, v_image, v_alpha, records):
    height, width, channels = v_image.shape
    bounds = tile_bounds(tile, width, height)
    x0, _, y0, y1 = bounds
    through, behind, latest = _plane(ZERO), _plane(ZERO), _plane(-ONE)
    upstream = np.zeros(channels * PIXELS, np.float32)
    sums = np.zeros(channels * LANES, np.float32)
    _to_planes(transmittance, bounds, through)
    _to_planes(v_alpha, bounds, behind)
    _to_planes(last, bounds, latest)
    _to_planes(v_image, bounds, upstream)
    for at in range(0, PIXELS, LANES):
        store(behind, at, ZERO - load(behind, at) * load(through, at))
    for number in range(_largest(latest), -1, -1):
        place = tiles.start[tile] + number
        i = tiles.members[place]
        center, shape, opacity, reach = pick(splats, i)
        dx = _columns(x0, center)
        none = ZERO * dx
        sum_1, sum_u, sum_uu, sum_y, sum_uy, sum_yy = none, none, none, none, none, none
        sums[:] = ZERO
        low, high = touched_rows(center, reach, y0, y1)
        for y in range(low, high):
            dy = np.float32(y) + HALF - center[1]
            u, exponent = _exponent(dx, dy, shape)
            if any_lane(exponent > -reach[0] - SLACK):
                at = (y - y0) * LANES
                density, alpha = _alpha(opacity, exponent)
                drawn = (alpha >= ALPHA_MIN) & (load(latest, at) >= np.float32(number))
                alpha = select(drawn, alpha, ZERO)
                inverse = ONE / (ONE - alpha)
                now, later = load(through, at) * inverse, load(behind, at)
                weight = alpha * now
                gain = none
                for k in range(channels):
                    v_pixel = load(upstream, k * PIXELS + at)
                    gain = gain + features[i, k] * v_pixel
                    store(sums, k * LANES, load(sums, k * LANES) + weight * v_pixel)
                v_exponent = alpha * (now * gain - later * inverse)
                v_exponent = select(density <= ALPHA_MAX, v_exponent, ZERO)
                store(through, at, now)
                store(behind, at, later + weight * gain)
                along = v_exponent * u
                sum_1, sum_u, sum_uu = sum_1 + v_exponent, sum_u + along, sum_uu + along * u
                sum_y, sum_uy = sum_y + dy * v_exponent, sum_uy + dy * along
                sum_yy = sum_yy + dy * dy * v_exponent
        record = records[tiles.slots[place]]
        for k in range(channels):
            record[k] = total(load(sums, k * LANES))
        record[channels] = total(sum_1)
        record[channels + 1] = total(sum_u)
        record[channels + 2] = total(sum_uu)
        record[channels + 3] = total(sum_y)
        record[channels + 4] = total(sum_uy)
        record[channels + 5] = total(sum_yy)


@compiled_parallel
def differentiate(splats, features, tiles, transmittance, last, v_image, v_alpha, records):
    """Fill ``records`` (meetings, c + 6), zero on entry: gradients for the features, then the moments.

    ``transmittance`` and ``last`` are what :func:`draw` filled, ``v_alpha`` is (h, w, 1).
    """
    count = len(tiles.start) - 1
    for task in prange(count):
        _differentiate(
            _shuffled(task, count), splats, features, tiles, transmittance, last, v_image, v_alpha, records
        )


@compiled
def _heard(maps, bounds):
    """The numbers of the maps that say anything in a tile: most say nothing in most."""
    x0, x1, y0, y1 = bounds
    says = np.zeros(maps.shape[2], np.bool_)
    for y in range(y0, y1):
        for x in range(x0, x1):
            for k in range(maps.shape[2]):
                says[k] |= maps[y, x, k] != ZERO
    return np.nonzero(says)[0]


@compiled
def _gather(tile, splats, tiles, maps, records):
    height, width, channels = maps.shape
    bounds = tile_bounds(tile, width, height)
    x0, _, y0, y1 = bounds
    through = _clear(bounds)
    heard = _heard(maps, bounds)
    planes = np.zeros(channels * PIXELS, np.float32)
    sums = np.zeros(channels * LANES, np.float32)
    _to_planes(maps, bounds, planes)
    for number in range(tiles.start[tile + 1] - tiles.start[tile]):
        if number % CHECK == CHECK - 1 and _is_full(through):
            break
        place = tiles.start[tile] + number
        center, shape, opacity, reach = pick(splats, tiles.members[place])
        dx = _columns(x0, center)
        weights = ZERO * dx
        sums[:] = ZERO
        low, high = touched_rows(center, reach, y0, y1)
        for y in range(low, high):
            _, exponent = _exponent(dx, np.float32(y) + HALF - center[1], shape)
            if any_lane(exponent > -reach[0] - SLACK):
                at = (y - y0) * LANES
                _, alpha = _alpha(opacity, exponent)
                _, weight = _cover(through, at, alpha)
                weights = weights + weight
                for k in heard:
                    store(sums, k * LANES, load(sums, k * LANES) + weight * load(planes, k * PIXELS + at))
        record = records[tiles.slots[place]]
        for k in heard:
            record[k] = total(load(sums, k * LANES))
        record[channels] = total(weights)


@compiled_parallel
def gather(splats, tiles, maps, records):
    """Fill ``records`` (meetings, q + 1), zero on entry: sums of weights times maps, and of weights."""
    count = len(tiles.start) - 1
    for task in prange(count):
        _gather(_shuffled(task, count), splats, tiles, maps, records)


@compiled
def _column_sum(records, slot_start, i, column):
    """Over the records of Gaussian i, in the order of the tiles."""
    total = ZERO
    for slot in range(slot_start[i], slot_start[i + 1]):
        total += records[slot, column]
    return total


@compiled_parallel
def sum_columns(slot_start, records, totals):
    """Fill ``totals`` (n, c) with the sums of the first c columns of the records of each Gaussian."""
    for i in prange(len(totals)):
        for column in range(totals.shape[1]):
            totals[i, column] = _column_sum(records, slot_start, i, column)


@compiled_parallel
def sum_moments(splats, slot_start, records, v_centers, v_shapes, v_opacities):
    """Fill the last three from the last columns of the records of each Gaussian."""
    first = records.shape[1] - MOMENTS
    for i in prange(len(v_centers)):
        a, s, e = splats.shapes[i, 0], splats.shapes[i, 1], splats.shapes[i, 2]
        sum_1 = _column_sum(records, slot_start, i, first)
        sum_u = _column_sum(records, slot_start, i, first + 1)
        sum_uu = _column_sum(records, slot_start, i, first + 2)
        sum_y = _column_sum(records, slot_start, i, first + 3)
        sum_uy = _column_sum(records, slot_start, i, first + 4)
        sum_yy = _column_sum(records, slot_start, i, first + 5)
        v_centers[i, 0] = a * sum_u
        v_centers[i, 1] = e * sum_y - a * s * sum_u
        v_shapes[i, 0] = -HALF * sum_uu
        v_shapes[i, 1] = a * sum_uy
        v_shapes[i, 2] = -HALF * sum_yy
        v_opacities[i] = sum_1 / splats.opacities[i] if sum_1 != ZERO else ZERO
