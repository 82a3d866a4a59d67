"""Whose recording a folder is, and its reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from point2act.core.errors import CaptureError
from point2act.data.importers.bop import read_bop
from point2act.data.importers.calibration import Calibration
from point2act.data.importers.folders import read_plain, read_scannet, read_seven_scenes
from point2act.data.importers.recording import Recording
from point2act.data.importers.tum import read_tum

LayoutName = Literal["tum", "7scenes", "scannet", "bop", "plain"]


@dataclass(frozen=True)
class Layout:
    """How a dataset lays out its files."""

    marks: tuple[tuple[str, ...], ...]
    """What a folder of it has: of each group one pattern or more is there."""
    read: Callable[[Path, Calibration | None], Recording]

    def fits(self, folder: Path) -> bool:
        """Whether a folder has all that marks this layout."""
        return all(any(next(folder.glob(mark), None) for mark in group) for group in self.marks)

    @property
    def words(self) -> str:
        """The marks, for people."""
        return ", ".join(" or ".join(group) for group in self.marks)


# In this order: what fits an earlier one may fit the last one too.
LAYOUTS: dict[LayoutName, Layout] = {
    "tum": Layout((("rgb.txt",), ("depth.txt",), ("groundtruth.txt",)), read_tum),
    "7scenes": Layout((("frame-*.color.png",), ("frame-*.pose.txt",)), read_seven_scenes),
    "scannet": Layout((("color",), ("depth",), ("pose",), ("intrinsic",)), read_scannet),
    "bop": Layout((("rgb",), ("depth",), ("scene_camera.json",)), read_bop),
    "plain": Layout((("color", "rgb"), ("depth",), ("pose", "poses.txt")), read_plain),
}


def detect_layout(folder: Path) -> LayoutName:
    """The layout of a recording. Raises ``CaptureError``, saying what was looked for, if it is none."""
    if not folder.is_dir():
        raise CaptureError(f"there is no folder {folder}: give the folder of a recording")
    for name, layout in LAYOUTS.items():
        if layout.fits(folder):
            return name
    wanted = "; ".join(f"{name}: {layout.words}" for name, layout in LAYOUTS.items())
    raise CaptureError(f"{folder} is laid out like no recording known ({wanted}): rename its files like one")


def read_recording(
    folder: Path, layout: LayoutName | None = None, calibration: Calibration | None = None
) -> Recording:
    """Read a recording's lists, poses and cameras; no pixels yet.

    ``calibration`` replaces the cameras that the recording describes. Raises ``CaptureError`` for an
    unknown layout and for files that are missing or wrong.
    """
    return LAYOUTS[layout or detect_layout(folder)].read(folder, calibration)
