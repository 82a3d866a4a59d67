"""Nine RGB-D frames of tables with a click on each of 48 things, and the judgement of each best grasp."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from benchmarks.real.soundness import Soundness, approach_width, judge, readings
from point2act.core.geometry import back_project, pixel_centers
from point2act.core.types import Grasp, View
from point2act.data.capture import load_view, read_capture
from point2act.data.points import read_points
from point2act.grasping.grippers import Gripper
from point2act.pipeline.grasp_image import grasp_view

FOLDER = "frames"


@dataclass(frozen=True, eq=False)
class Judged:
    """The best grasp of one query, judged."""

    scene: str
    query: str
    grasp: Grasp | None
    planned: Soundness | None
    """Judgement with the gripper open as grasps.json says; None without a grasp."""
    fully_open: Soundness | None
    """Judgement with the gripper fully open."""
    reason: str
    """Why there is no grasp."""

    @property
    def sound(self) -> bool:
        """Whether there is a grasp and it is sound."""
        return self.planned is not None and self.planned.sound()

    @property
    def sound_open(self) -> bool:
        """Whether it is also sound with the gripper fully open."""
        return self.sound and self.fully_open is not None and self.fully_open.sound()

    def line(self) -> str:
        """Return the judgement as a line of text."""
        name = f"{self.scene:<22} {self.query:<28}"
        if self.grasp is None or self.planned is None or self.fully_open is None:
            return f"{name} no grasp: {self.reason}"
        verdict = "sound" if self.sound else "NOT SOUND"
        wide = "sound" if self.sound_open else "NOT SOUND"
        return (
            f"{name} {verdict}, fully open {wide}: score {self.grasp.score:.2f}, "
            f"{1e3 * self.grasp.width:.0f} mm, {self.planned.inside} and {self.fully_open.inside} voxels "
            f"inside, {self.planned.between} readings between, {1e3 * self.planned.away:.0f} mm to the click"
        )


def judge_frame(folder: Path, gripper: Gripper) -> list[Judged]:
    """Plan grasps at each click of a frame, as ``point2act grasp-image`` does, and judge the best of each."""
    capture = read_capture(folder)
    view = load_view(capture, capture.frames[0])
    points = read_points(folder / "points.json", capture)
    found = grasp_view(capture, view, points)
    cloud = readings(view)
    clicks = {answer.query: click_place(view, answer.points[0]) for answer in points.answers}
    judged = []
    for result in found.results:
        best = result.grasps[0] if result.grasps else None
        planned = fully_open = None
        if best is not None:
            clicked = clicks[result.query.name]
            width = approach_width(best, gripper)
            planned = judge(best, gripper, cloud, opening=width, clicked=clicked)
            fully_open = judge(best, gripper, cloud, opening=gripper.max_width, clicked=clicked)
        why = f"{result.reason}: {result.detail}"
        judged.append(Judged(folder.name, result.query.name, best, planned, fully_open, why))
    return judged


def click_place(view: View, pixel: Float[np.ndarray, "2"]) -> Float[np.ndarray, "3"]:
    """Return the reading nearest to a pixel, world frame."""
    assert view.depth is not None
    pixels = pixel_centers(*view.depth.shape)[view.depth > 0]
    nearest = [np.linalg.norm(pixels - pixel, axis=1).argmin()]
    depth = view.depth[view.depth > 0].astype(float)
    return back_project(view.camera, view.T_world_cam, pixels[nearest], depth[nearest])[0]
