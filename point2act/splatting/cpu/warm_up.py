"""Have every kernel of this room ready before the work begins, and tell people when that takes time."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch

from point2act.core.types import Camera
from point2act.splatting.cpu.compile_kernels import told_of_compiling
from point2act.splatting.gaussians import Activated
from point2act.splatting.render import gather, project_gaussians, render


def warm_up(*, compiling: Callable[[], None]) -> None:
    """Draw, differentiate and gather from one Gaussian on the processor, so that all kernels are loaded.

    They lie on disk, and loading them takes a third of a second, but for the first run on a machine (or
    after an update): numba then compiles them for about 13 s. ``compiling`` is called once when that
    begins.
    """
    collecting = gc.isenabled()
    gc.disable()  # a tenth of the time: nothing that the compiler makes is garbage before it is done
    try:
        with told_of_compiling(compiling):
            _draw_once()
    finally:
        if collecting:
            gc.enable()


def _draw_once() -> None:
    gaussian = Activated(
        means=torch.tensor([[0.0, 0.0, 1.0]]),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        scales=torch.full((1, 3), 0.1),
        opacities=torch.tensor([0.5]),
    )
    features, pose = torch.ones(1, 3), torch.eye(4)
    camera = Camera(fx=16.0, fy=16.0, cx=8.0, cy=8.0, height=16, width=16)
    for tensor in (*gaussian, features):
        tensor.requires_grad_()
    render(*gaussian, features, pose, camera).features.sum().backward()
    projection = project_gaussians(gaussian, pose, camera)
    for _ in range(2):  # the second time, with weights that are known, is another kernel
        gather(projection, torch.ones(16, 16, 1))
