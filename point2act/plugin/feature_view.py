"""Lifted features as colours of the Gaussians of a training."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from scipy.spatial import KDTree
from torch import Tensor

from point2act.plugin.bridge import Similarity

FILE = "features.npz"
"""Name of the file in the folder of a capture."""


class FeatureView:
    """The colours of features, each of the nearest of the Gaussians that they were lifted onto.

    The features may be those of another scene of the same capture, such as that of a run.
    """

    def __init__(self, path: Path, S_nerf_world: Similarity):
        """Read a file of ``write_features``. Raises ``SceneError`` if it is none."""
        # Imported late: nerfstudio loads this package for every method.
        from point2act.localization.feature_files import feature_colors, read_features

        means, features = read_features(path)
        self._nearest = KDTree(S_nerf_world.move_points(means))
        self._colors = torch.from_numpy(feature_colors(features))
        self._found: Tensor | None = None

    @staticmethod
    def find(path: Path | None, capture: Path, S_nerf_world: Similarity) -> FeatureView | None:
        """Return the features of a file, by default of that in the capture; None if there is none."""
        path = capture / FILE if path is None and (capture / FILE).is_file() else path
        return None if path is None else FeatureView(path, S_nerf_world)

    def colors(self, means: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """Return the colours at Gaussians, nerfstudio's frame; looked up again when their number changes."""
        if self._found is None or len(self._found) != len(means):
            _, index = self._nearest.query(means.detach().cpu().numpy())
            self._found = self._colors[torch.from_numpy(index)].to(means.device)
        return self._found
