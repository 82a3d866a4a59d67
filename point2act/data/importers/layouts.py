"""Detection of the layout of a recording, and its reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from point2act.core.errors import CaptureError
from point2act.data.importers.bop import read_bop
from point2act.data.importers.calibration import Calibration
from point2act.data.importers.folders import read_plain, read_scannet, read_seven_scenes, read_unposed
from point2act.data.importers.recording import Recording
from point2act.data.importers.tum import read_tum

LayoutName = Literal["tum", "7scenes", "scannet", "bop", "plain"]


@dataclass(frozen=True)
class Layout:
    """The file layout of a dataset."""

    patterns: tuple[tuple[str, ...], ...]
    """Groups of file patterns; a folder of this layout has a match for one pattern of every group."""
    read: Callable[[Path, Calibration | None], Recording]

    def fits(self, folder: Path) -> bool:
        """Return whether a folder has this layout."""
        return all(any(next(folder.glob(one), None) for one in group) for group in self.patterns)

    @property
    def words(self) -> str:
        """The patterns as text."""
        return ", ".join(" or ".join(group) for group in self.patterns)


# In this order, because folders of other layouts may also match the last one.
LAYOUTS: dict[LayoutName, Layout] = {
    "tum": Layout((("rgb.txt",), ("depth.txt",), ("groundtruth.txt",)), read_tum),
    "7scenes": Layout((("frame-*.color.png",), ("frame-*.pose.txt",)), read_seven_scenes),
    "scannet": Layout((("color",), ("depth",), ("pose",), ("intrinsic",)), read_scannet),
    "bop": Layout((("rgb",), ("depth",), ("scene_camera.json",)), read_bop),
    "plain": Layout((("color", "rgb"), ("depth",), ("pose", "poses.txt")), read_plain),
}


def detect_layout(folder: Path) -> LayoutName:
    """Return the layout of a recording. Raises ``CaptureError``, which lists all layouts, if none matches."""
    if not folder.is_dir():
        raise CaptureError(f"there is no folder {folder}: give the folder of a recording")
    for name, layout in LAYOUTS.items():
        if layout.fits(folder):
            return name
    wanted = "; ".join(f"{name}: {layout.words}" for name, layout in LAYOUTS.items())
    raise CaptureError(f"{folder} has no known layout ({wanted}): rename its files like one")


def read_recording(
    folder: Path, layout: LayoutName | None = None, calibration: Calibration | None = None
) -> Recording:
    """Read the file lists, poses and cameras of a recording, without pixels.

    Args:
        folder: Folder of the recording.
        layout: Its layout, None to detect it.
        calibration: Cameras in place of those that the recording describes.

    Raises:
        CaptureError: The layout is unknown, or a file is missing or invalid.
    """
    return LAYOUTS[layout or detect_layout(folder)].read(folder, calibration)


def read_sequence(folder: Path, calibration: Calibration | None = None) -> Recording:
    """Read a recording whose poses are not needed: plain folders may lack them.

    Args:
        folder: Folder of the recording.
        calibration: Cameras in place of those that the recording describes.

    Raises:
        CaptureError: The layout is unknown, or a file is missing or invalid.
    """
    posed = any(layout.fits(folder) for name, layout in LAYOUTS.items() if name != "plain")
    if posed or not (folder / "depth").is_dir():
        return read_recording(folder, None, calibration)
    return read_unposed(folder, calibration)
