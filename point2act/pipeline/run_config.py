"""Options and result of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from point2act.core.types import GaussianScene, PointSet, QueryResult, RelevancyField
from point2act.data.view_loader import MAX_SIDE
from point2act.pipeline.mark_selection import MarkSelectionConfig
from point2act.pipeline.query import AnswerConfig
from point2act.splatting.reconstruct import ReconstructionConfig


@dataclass(frozen=True)
class RunConfig:
    """From a capture to grasps."""

    max_side: int = MAX_SIDE
    """Images are reduced until their longer side is at most this many pixels."""
    max_views: int = 150
    """Maximum number of views. Of a larger capture, views are selected that cover all viewpoints: answered
    ones first, and sharp ones before blurred ones."""
    build: Annotated[ReconstructionConfig, tyro.conf.arg(name="")] = field(
        default_factory=ReconstructionConfig
    )
    answer: Annotated[AnswerConfig, tyro.conf.arg(name="")] = field(default_factory=AnswerConfig)
    allow_outside: bool = False
    """Read files that the capture names outside its folder, also by way of symbolic links."""
    choosing: MarkSelectionConfig = field(default_factory=MarkSelectionConfig)
    """Set-of-mark prompting, for --choose."""
    device: str | None = None
    """``cpu`` or ``cuda``; by default CUDA if there is one."""
    scene_3d: Annotated[bool, tyro.conf.arg(name="3d")] = True
    """Put an interactive 3D view into the report, which takes about 1 MB."""


@dataclass(frozen=True, eq=False)
class RunResult:
    """The result of ``run``, in the capture's world frame."""

    results: tuple[QueryResult, ...]
    """One per query; empty for a capture without points."""
    points: PointSet | None
    """The queries and answers that the results come from."""
    scene: GaussianScene
    relevancy: RelevancyField | None
    psnr: float | None
    """Mean PSNR of the held-out views, dB; None if none was held out."""
    timings: dict[str, float]
    """Seconds per stage."""
