"""Use any function as the pointing model: here, the reddest pixel of every image."""

from pathlib import Path

import numpy as np
import tyro

import point2act


def reddest(image: np.ndarray, text: str) -> list[tuple[float, float]]:
    """Point at the middle of what is red; nothing if too little is."""
    red, green, blue = np.moveaxis(image.astype(float), -1, 0)
    rows, columns = np.nonzero(red > 60 + 1.6 * np.maximum(green, blue))
    if len(rows) < 20:
        return []  # "not visible" is evidence, too
    return [(float(np.median(columns)) + 0.5, float(np.median(rows)) + 0.5)]


def main(capture: Path, output: Path) -> None:
    """Find and grasp what is red."""
    result = point2act.run(capture, output, queries=["the red thing"], pointer=reddest)
    (found,) = result.results
    print(found.query.text, found.action_point, f"{found.confidence:.0%}", len(found.grasps), "grasps")


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
