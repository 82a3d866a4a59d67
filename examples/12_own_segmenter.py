"""Use any function as the segmenter, which decides where a region ends: here, pixels of one colour."""

from pathlib import Path

import numpy as np
import tyro
from scipy.ndimage import label

import point2act


def same_color(
    image: np.ndarray, positive: np.ndarray, negative: np.ndarray
) -> tuple[np.ndarray, list[float]]:
    """Return masks around the first point for three widths of what counts as the same colour."""
    shares = image / np.maximum(image.sum(axis=2, keepdims=True, dtype=float), 1)
    column, row = positive[0].astype(int)
    away = np.abs(shares - shares[row, column]).sum(axis=2)
    masks = []
    for width in (0.08, 0.15, 0.25):
        pieces, _ = label(away < width)
        masks.append(pieces == pieces[row, column])
    return np.stack(masks), [0.7, 0.8, 0.7]


def main(capture: Path, output: Path) -> None:
    """Find and grasp what the capture's points.json asks for; regions end where the colour does."""
    result = point2act.run(capture, output, segmenter=same_color)
    for found in result.results:
        if found.region is None:
            print(f"{found.query.text}: {found.reason}")
        else:
            print(f"{found.query.text}: half extents {np.round(found.region.box.half_extents, 3)} m")


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
