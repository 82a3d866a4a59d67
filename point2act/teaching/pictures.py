"""Images of a data set, named by their content, and pixels of the run's views in them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from point2act.core.files import write_bytes
from point2act.core.geometry import from_tangents, to_tangents
from point2act.core.types import Camera, View

# Quality at which JPEG's errors are below those of the cameras. Chosen.
_QUALITY = 95


@dataclass(frozen=True, eq=False)
class Picture:
    """An image that was written, of the pose of a view and of another size."""

    name: str
    """Path in the data set."""
    camera: Camera
    view: View

    def points(self, pixels: Float[np.ndarray, "n 2"]) -> list[tuple[float, float]]:
        """Return pixels of the view as pixels of the image, moved inside it."""
        moved = from_tangents(self.camera, to_tangents(self.view.camera, pixels))
        inside = np.clip(moved, 0.0, [self.camera.width, self.camera.height])
        return [(float(x), float(y)) for x, y in inside.round(2)]

    def box(self, corners: Sequence[float]) -> tuple[float, float, float, float]:
        """Return a box of the view, left, top, right and bottom, as one of the image."""
        (left, top), (right, bottom) = self.points(np.array(corners).reshape(2, 2))
        return left, top, right, bottom


def write_picture(folder: Path, loaded: View, view: View) -> Picture:
    """Write an image under a name made of its content.

    Args:
        folder: Folder of the data set.
        loaded: The undistorted image to write.
        view: The view of the run of the same frame.
    """
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(loaded.rgb).save(buffer, "JPEG", quality=_QUALITY)
    name = f"images/{hashlib.sha256(buffer.getvalue()).hexdigest()[:16]}.jpg"
    write_bytes(folder / name, buffer.getvalue())
    return Picture(name, loaded.camera, view)
