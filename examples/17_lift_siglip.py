"""Lift SigLIP's features onto the Gaussians of a finished run, and find the place most like that of a query.

Needs transformers, and downloads the model unless it is given a folder with one.
"""

from pathlib import Path

import numpy as np
import torch
import tyro
from torch.nn.functional import interpolate
from transformers import SiglipVisionModel

import point2act


def siglip(model: SiglipVisionModel):
    """Return an extractor: a feature for each patch of an image."""
    side = model.config.patch_size
    assert isinstance(side, int)

    def extract(rgb: np.ndarray) -> np.ndarray:
        height, width = (length // side for length in rgb.shape[:2])
        pixels = (torch.tensor(rgb) / 127.5 - 1).permute(2, 0, 1)[None]
        pixels = interpolate(pixels, size=(side * height, side * width), mode="bilinear")
        with torch.inference_mode():
            tokens = model(pixels, interpolate_pos_encoding=True).last_hidden_state[0]
        return tokens.reshape(height, width, -1).numpy()

    return extract


def main(output: Path, points: Path, model: str = "google/siglip-base-patch16-224") -> None:
    """Print where the features are most like those within 2 cm of the first query's action point."""
    session = point2act.open_run(output)
    features = point2act.lift_features(
        session.scene, session.views, siglip(SiglipVisionModel.from_pretrained(model).eval())
    )
    result = session.ask(points).results[0]
    if result.action_point is None:
        print(f"{result.query.text}: {result.detail}")
        return
    away = np.linalg.norm(session.scene.means - result.action_point, axis=1)
    values = features.values / np.maximum(np.linalg.norm(features.values, axis=1, keepdims=True), 1e-9)
    like = values @ values[(away < 0.02) & (features.seen > 0)].mean(axis=0)
    other = np.where((away > 0.1) & (features.seen > 0), like, -np.inf).argmax()
    place = np.round(session.scene.means[other], 3)
    print(f"{result.query.text}: most like it, 10 cm or more away, is {place} (cosine {like[other]:.2f})")


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
