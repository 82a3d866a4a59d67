"""What the report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from point2act.core.progress import Span
from point2act.core.types import GaussianScene, Plan, QueryResult, RelevancyField, View
from point2act.grasping.end_effector import EndEffector
from point2act.visualization.drawing import PALETTE, Color

if TYPE_CHECKING:
    # It imports torch, half a gigabyte, which pages of batches do without.
    from point2act.splatting.rendering import RenderedView
else:
    RenderedView = Any


@dataclass(frozen=True, eq=False)
class ReportView:
    """One view with the model's answers about it and what was rendered from it."""

    view: View
    points: Mapping[str, Float[np.ndarray, "_ 2"]]
    """Query name to pixels of the view: empty for "not visible", no entry if the model was not asked."""
    heatmaps: Mapping[str, Float[np.ndarray, "_ _"]]
    """Query name to the view's heatmap in [0, 1]."""
    picture: RenderedView
    """The scene rendered from this view; channel k of the relevancy belongs to result k."""


@dataclass(frozen=True, eq=False)
class ReportInput:
    """Everything on the page."""

    title: str
    capture: str
    gripper: EndEffector
    views: tuple[ReportView, ...]
    """A selection of about six views."""
    results: tuple[QueryResult, ...]
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds per stage, in order."""
    spans: tuple[Span, ...] = ()
    """Start and end of everything that took time; if empty, the timings are drawn one after another."""
    plan: Plan | None = None
    """The task that the queries were derived from."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Names and values worth knowing, such as the device and the held-out PSNR."""
    metric: bool = True
    """Whether lengths are in metres, not in the capture's own unit."""
    scene: tuple[GaussianScene, RelevancyField] | None = None
    """Gaussians and their relevancies for the interactive 3D view; None leaves it out."""
    models: tuple[str, ...] = ()
    """Names of the models that answered."""
    rejected_places: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Query name to the number of disagreeing views at each other place, see ``rejected_places``."""
    T_base_world: Float[np.ndarray, "4 4"] | None = None
    """Pose of the world in the robot's base frame, None if unknown."""

    @property
    def simulated(self) -> bool:
        """Whether the answers are those of a simulated pointing model."""
        return any(name.startswith("simulated/") for name in self.models)

    @property
    def colors(self) -> tuple[Color, ...]:
        """One colour per result, the same on the whole page."""
        return tuple(PALETTE[k % len(PALETTE)] for k in range(len(self.results)))


@dataclass(frozen=True, eq=False)
class ReportTrial:
    """One grasp executed in a simulator."""

    query: str
    """Text or name of the query."""
    success: bool
    outcome: str
    """Outcome in a word or two, such as "lifted" or "slipped"."""
    text: str
    """Outcome in a sentence."""
    pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]] = ()
    """Pictures in the order in which they were taken."""
    moments: Sequence[str] = ()
    """A caption for each picture, or none at all."""
    film: Sequence[UInt8[np.ndarray, "_ _ 3"]] = ()
    """Pictures of the whole motion, shown as an animation."""
    film_rate: float = 6.0
    """Pictures of the film per second."""
