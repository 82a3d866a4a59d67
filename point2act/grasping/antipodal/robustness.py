"""Whether a grasp survives being a little off: many grippers beside the planned one, closed one by one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from point2act.grasping.antipodal.contact import ContactConfig, Near, close_pads, friction_needed


@dataclass(frozen=True)
class RobustConfig:
    """What may be off, as standard deviations. About what arms, their calibration and depth leave. Chosen."""

    draws: int = 24
    """Grippers that are tried (Dex-Net 2.0 takes 10 to 25: Mahler et al. 2017)."""
    shift: float = 0.002
    """Of the gripper along each of its axes, metres: 3.5 mm altogether."""
    turn: float = 0.035
    """Of the gripper about each of its axes, radians: 2 degrees, 3.5 altogether."""
    friction: float = 0.1
    """Of the coefficient of friction about the planned one."""
    surface: float = 0.001
    """Of the surface along the approach, metres: depth's own error, the same for all of the object."""
    held: int = 3
    """A pad has a hold of at least this many surface points."""


@dataclass(frozen=True, eq=False)
class Draws:
    """The same errors for every grasp, so that grasps differ by what they are."""

    rotations: Float[np.ndarray, "m 3 3"]
    """Turn the gripper's axes."""
    shifts: Float[np.ndarray, "m 3"]
    """Move it along them, metres."""
    friction: Float[np.ndarray, " m"]


def draw_errors(friction: float, config: RobustConfig, rng: np.random.Generator) -> Draws:
    """Draw errors about a coefficient of friction."""
    shifts = config.shift * rng.standard_normal((config.draws, 3))
    shifts[:, 2] += config.surface * rng.standard_normal(config.draws)
    turns = Rotation.from_rotvec(config.turn * rng.standard_normal((config.draws, 3))).as_matrix()
    rough = friction + config.friction * rng.standard_normal(config.draws)
    return Draws(turns, shifts, np.maximum(rough, 0.05))


def robustness(
    near: Near,
    rotation: Float[np.ndarray, "3 3"],
    origin: Float[np.ndarray, "3"],
    pad_size: tuple[float, float],
    draws: Draws,
    *,
    width: float,
    opening: float,
    contact: ContactConfig,
    config: RobustConfig,
) -> float:
    """Share of the grippers beside a pose that hold: both pads touch, and press within the friction cone.

    ``origin`` is relative to the middle of the contacts. Monte Carlo over pose, friction and depth as in
    Dex-Net (Mahler et al. 2017).
    """
    patches = close_pads(
        near,
        rotation @ draws.rotations,
        origin + draws.shifts @ rotation.T,
        pad_size,
        width=width,
        opening=opening,
        config=contact,
    )
    enough = np.minimum(patches[0].count, patches[1].count) >= config.held
    return float((enough & (friction_needed(*patches) <= draws.friction)).mean())
