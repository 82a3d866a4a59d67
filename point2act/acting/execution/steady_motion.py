"""The motion of a thing without the noise of a tracker: what stands still stands still."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from point2act.core.geometry import invert, transform, transform_points

# Displacement of a thing's middle and its rotation within which it has not moved, metres and radians: poses
# of a beaker that stands still, without texture and as round as it is, vary by up to 11 mm.
_NOISE, _TURN = 0.012, 0.35
# Number of measurements from which on their average is settled: its error is a third of one's. Chosen.
_SETTLED = 9


class SteadyMotion:
    """Averages the poses of a thing while it stands still."""

    def __init__(self, middle: Float[np.ndarray, " 3"]):
        """Start where the thing was found.

        Args:
            middle: Its middle there, metres.
        """
        self._middle = middle
        self.T = np.eye(4)
        """Motion since the start."""
        # It was found in many images, better than a tracker finds it in one: while it has not moved, later
        # poses do not count.
        self._count = 0

    @property
    def settled(self) -> bool:
        """Whether further measurements of a thing that stands still would hardly change the average."""
        return self._count == 0 or self._count >= _SETTLED

    def moves(self, T: Float[np.ndarray, "4 4"]) -> bool:
        """Return whether a measurement is beyond the noise of a thing that stands still."""
        shift, turn = self._change(T)
        return bool(np.linalg.norm(shift) > _NOISE or np.linalg.norm(turn) > _TURN)

    def update(self, T: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
        """Return the motion since the start, given its latest measurement.

        Args:
            T: Rigid motion since the start, frame to frame.
        """
        if self.moves(T):
            self.T, self._count = T, 1
        elif self._count > 0:
            self._count += 1
            shift, turn = self._change(T)
            self.T = self._nearer(shift / self._count, turn / self._count)
        return self.T

    def _change(self, T: Float[np.ndarray, "4 4"]) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
        """Return the shift of the middle and the turn to a measurement."""
        shift = transform_points(T, self._middle) - transform_points(self.T, self._middle)
        return shift, Rotation.from_matrix((T @ invert(self.T))[:3, :3]).as_rotvec()

    def _nearer(
        self, shift: Float[np.ndarray, " 3"], turn: Float[np.ndarray, " 3"]
    ) -> Float[np.ndarray, "4 4"]:
        """Return the motion after a further shift of the middle and a turn about it."""
        rotation = Rotation.from_rotvec(turn).as_matrix() @ self.T[:3, :3]
        place = transform_points(self.T, self._middle) + shift
        return transform(rotation, place - rotation @ self._middle)
