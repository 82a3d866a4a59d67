"""Lift DINOv2's features onto the Gaussians of a finished run, and crop them at an action point for a policy.

Needs transformers, and downloads the model unless it is given a folder with one.
"""

from pathlib import Path

import numpy as np
import torch
import tyro
from torch.nn.functional import interpolate
from transformers import Dinov2Model

import point2act
from point2act.data.columns import write_columns
from point2act.localization.feature_files import write_crops, write_features
from point2act.localization.features import crop_columns

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def dinov2(model: Dinov2Model):
    """Return an extractor: a feature for each patch of an image."""
    side = model.config.patch_size
    assert isinstance(side, int)

    def extract(rgb: np.ndarray) -> np.ndarray:
        height, width = (length // side for length in rgb.shape[:2])
        pixels = (torch.tensor(rgb) / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
        pixels = interpolate(
            pixels.permute(2, 0, 1)[None], size=(side * height, side * width), mode="bilinear"
        )
        with torch.inference_mode():
            tokens = model(pixels).last_hidden_state[0, 1:]  # without the class token
        return tokens.reshape(height, width, -1).numpy()

    return extract


def main(output: Path, points: Path, model: str = "facebook/dinov2-small") -> None:
    """Write features.npz, and the crops of the first query as crops.npz and crops.parquet."""
    session = point2act.open_run(output)
    features = point2act.lift_features(
        session.scene, session.views, dinov2(Dinov2Model.from_pretrained(model).eval())
    )
    write_features(output / "features.npz", session.scene, features)
    result = session.ask(points).results[0]
    if result.region is None:
        print(f"{result.query.text}: {result.detail}")
        return
    crops = point2act.features_at(session.scene, features, result.region)
    write_crops(output / "crops.npz", crops)
    write_columns(output / "crops.parquet", [crop_columns(crops)])
    print(f"{result.query.text}: {[len(crop.points) for crop in crops]} Gaussians in the crops")


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
