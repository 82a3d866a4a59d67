"""The controls beside the scene, the same for all who watch. Nothing happens in here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import viser

from point2act.core.types import Role

NOTHING = "–"
"""What a menu shows that has nothing to choose."""
PARTS = {
    "scene": "Gaussians",
    "cameras": "Cameras",
    "ground": "Ground",
    "answer": "Action point, region, rivals",
    "hand": "Chosen grasp",
    "grasps": "Other grasps",
}
"""What may be shown or hidden, as the panel calls it."""


@dataclass(frozen=True, eq=False)
class Panel:
    """Handles of all controls."""

    status: Any
    busy: Any
    progress: Any
    query: Any
    result: Any
    new: Any
    role: Any
    ask: Any
    begin: Any
    blend: Any
    threshold: Any
    shown: dict[str, Any]
    photo: Any
    open: Any
    photos: Any
    gripper: Any
    grasp: Any
    following: Any
    previous: Any
    play: Any
    numbers: Any
    json: Any
    points: Any
    ply: Any
    screenshot: Any
    command: Any


def build_panel(
    server: viser.ViserServer, *, title: str, images: tuple[str, ...], grippers: tuple[str, ...], asks: bool
) -> Panel:
    """Put the controls on the page; all but what is shown is disabled until ``enable``."""
    gui = server.gui
    # The button to share stays: without it pages of viser 0.2 break.
    gui.configure_theme(dark_mode=True, brand_color=(38, 128, 104))
    gui.set_panel_label(title)
    status = gui.add_markdown("")
    busy = gui.add_markdown("")
    progress = gui.add_progress_bar(0.0)
    tabs = gui.add_tab_group()
    found: dict[str, Any] = {}
    with tabs.add_tab("Find"):
        found["query"] = gui.add_dropdown("Query", (NOTHING,))
        found["result"] = gui.add_markdown("")
        with gui.add_folder("Ask for something else"):
            found["new"] = gui.add_text("What", "", hint="In words: the handle of the blue mug")
            found["role"] = gui.add_dropdown(
                "To", get_args(Role), hint="grasp it, place something there, or avoid it"
            )
            found["ask"] = gui.add_button("Ask the model", visible=asks)
            found["begin"] = gui.add_button(
                "Point at it myself", hint="Then open a photograph and click on the thing"
            )
        with gui.add_folder("Relevancy"):
            found["blend"] = gui.add_slider("Blend", 0.0, 1.0, 0.05, 0.85)
            found["threshold"] = gui.add_slider("Threshold", 0.0, 1.0, 0.05, 0.0)
        with gui.add_folder("Show"):
            found["shown"] = {
                part: gui.add_checkbox(label, part != "grasps") for part, label in PARTS.items()
            }
    with tabs.add_tab("Photographs"):
        found["photo"] = gui.add_dropdown("Image", images or (NOTHING,))
        found["open"] = gui.add_button("Open it", hint="Or click on a camera in the scene")
        found["photos"] = gui.add_markdown("")
    with tabs.add_tab("Grasps"):
        found["gripper"] = gui.add_dropdown("Gripper", grippers)
        found["grasp"] = gui.add_dropdown("Grasp", (NOTHING,))
        # No group of buttons: in viser 0.2 the same one cannot be pressed twice.
        found["following"] = gui.add_button("Next grasp")
        found["previous"] = gui.add_button("Previous grasp")
        found["play"] = gui.add_button("Play the motion")
        found["numbers"] = gui.add_markdown("")
    with tabs.add_tab("Export"):
        found["json"] = gui.add_button("Download grasps.json")
        found["points"] = gui.add_button("Download points.json")
        found["ply"] = gui.add_button("Download the Gaussians (PLY)")
        found["screenshot"] = gui.add_button("Download a screenshot")
        found["command"] = gui.add_markdown("")
    panel = Panel(status=status, busy=busy, progress=progress, **found)
    enable(panel, False)
    return panel


def enable(panel: Panel, enabled: bool) -> None:
    """Whether anything but looking can be done yet."""
    finding = ("query", "new", "role", "ask", "begin", "open")
    grasping = ("gripper", "grasp", "following", "previous", "play")
    for name in (*finding, *grasping, "json", "points", "ply", "screenshot"):
        getattr(panel, name).disabled = not enabled
