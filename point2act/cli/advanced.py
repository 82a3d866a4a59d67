"""Advanced options of ``run`` and ``grasp``; their configurations import torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from point2act.pipeline.mark_selection import MarkSelectionConfig
from point2act.pipeline.query import AnswerConfig
from point2act.pipeline.run_config import RunConfig
from point2act.pipeline.stream import FollowConfig
from point2act.splatting.incremental import IncrementalConfig


@dataclass(frozen=True)
class RunOptions:
    """Advanced options of ``run``."""

    pipeline: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)
    following: FollowConfig = field(default_factory=FollowConfig)
    """Time limits of --follow."""
    grow: IncrementalConfig = field(default_factory=IncrementalConfig)
    """Incremental reconstruction of --follow."""


@dataclass(frozen=True)
class GraspOptions:
    """Advanced options of ``grasp``."""

    pipeline: Annotated[AnswerConfig, tyro.conf.arg(name="")] = field(default_factory=AnswerConfig)
    choosing: MarkSelectionConfig = field(default_factory=MarkSelectionConfig)
    """Set-of-mark prompting of --choose."""
    scene_3d: Annotated[bool, tyro.conf.arg(name="3d")] = True
    """Put an interactive 3D view into the report, which takes about 1 MB."""
