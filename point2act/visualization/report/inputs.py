"""What the report is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from point2act.core.progress import Span
from point2act.core.types import Plan, QueryResult, View
from point2act.grasping.grippers import Gripper
from point2act.splatting.rendering import RenderedView
from point2act.visualization.drawing import PALETTE, Color


@dataclass(frozen=True, eq=False)
class ReportView:
    """One view with what was said about it and what was made of it."""

    view: View
    points: Mapping[str, Float[np.ndarray, "_ 2"]]
    """Query name to pixels of the view; none of them for "not visible", no entry where nobody was asked."""
    heatmaps: Mapping[str, Float[np.ndarray, "_ _"]]
    """Query name to the view's heatmap in [0, 1]."""
    picture: RenderedView
    """The scene rendered from here; channel k of its relevancy is that of result k."""


@dataclass(frozen=True, eq=False)
class ReportInput:
    """Everything on the page."""

    title: str
    capture: str
    gripper: Gripper
    views: tuple[ReportView, ...]
    """A selection, about six."""
    results: tuple[QueryResult, ...]
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds per stage, in order."""
    spans: tuple[Span, ...] = ()
    """When what was done; without any, the timings are laid end to end."""
    plan: Plan | None = None
    """What the queries are for."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Anything worth knowing, such as the device and the held-out PSNR."""
    metric: bool = True
    """Whether lengths are metres, or the capture's own unit."""

    @property
    def colors(self) -> tuple[Color, ...]:
        """One per result, the same all over the page."""
        return tuple(PALETTE[k % len(PALETTE)] for k in range(len(self.results)))
