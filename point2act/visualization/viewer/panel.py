"""Controls beside the scene, the same in all browsers; callbacks are attached elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import viser

from point2act.core.types import Role
from point2act.visualization.viewer.markdown import HELP, NO_MODEL
from point2act.visualization.viewer.photo_strip import COLUMNS, ROWS
from point2act.visualization.viewer.viewpoints import VIEWPOINTS

NOTHING = "–"
"""Entry of a menu without choices."""
TURNS = ("Earlier", "Later")
"""Buttons of the strip of photographs."""
PARTS = {
    "scene": ("Gaussians", "The reconstructed scene, tinted where it is relevant to the query"),
    "cameras": ("Cameras", "Click on one to open its photograph"),
    "ground": ("Ground", "A grid at the height of the table"),
    "answer": ("Action point", "With the region that was found, and alternatives"),
    "gripper": ("Chosen grasp", "The gripper or hand, its approach (blue); a gripper's closing axis (green)"),
    "grasps": ("Other grasps", "A fork each, yellow the best; click on one to choose it"),
    "geometry": (
        "Surface",
        "What grasps are planned on; blue: the object, purple: unseen, orange: what blocks",
    ),
}
"""Parts of the scene that can be hidden, with their labels and explanations."""
HIDDEN = ("geometry",)
"""Parts that are hidden at first."""
AT_GRASP = 0.33
"""Place on the slider of the motion at the start: a gripper has come, which is a third of it, and is open."""


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
    asks: bool
    ask: Any
    point: Any
    click: Any
    undo: Any
    blend: Any
    threshold: Any
    shown: dict[str, Any]
    look: Any
    base: Any
    photo: Any
    open: Any
    camera: Any
    strip: Any
    rows: tuple[Any, ...]
    turn: Any
    photos: Any
    gripper: Any
    grasp: Any
    following: Any
    previous: Any
    play: Any
    motion: Any
    phase: Any
    numbers: Any
    json: Any
    points: Any
    ply: Any
    screenshot: Any
    about: Any
    command: Any
    keep: Any
    line: Any
    restore: Any


def build_panel(
    server: viser.ViserServer, *, title: str, images: tuple[str, ...], grippers: tuple[str, ...], asks: bool
) -> Panel:
    """Add the controls to the page; those that need a session are disabled until ``enable``."""
    gui = server.gui
    # The button to share stays: without it pages of viser 0.2 break.
    set_theme(gui)
    gui.set_panel_label(title)
    found: dict[str, Any] = {
        "status": gui.add_markdown(""),
        "busy": gui.add_markdown(""),
        "progress": gui.add_progress_bar(0.0),
        "asks": asks,
    }
    found["look"] = gui.add_button_group("Look from", VIEWPOINTS)
    tabs = gui.add_tab_group()
    with tabs.add_tab("Find"):
        found["query"] = gui.add_dropdown("Query", (NOTHING,))
        found["result"] = gui.add_markdown("")
        found["click"] = gui.add_button(
            "Click on it in the scene", hint="The next click on a surface is your answer to this query"
        )
        found["undo"] = gui.add_button("Undo the last answer")
        with gui.add_folder("New query"):
            found["new"] = gui.add_text("Object", "", hint="In words: the handle of the blue mug")
            found["role"] = gui.add_dropdown(
                "Role", get_args(Role), hint="Grasp it, place something there, or avoid it"
            )
            found["ask"] = gui.add_button("Ask the model", hint="Asks about it in the photographs")
            if not asks:
                gui.add_markdown(NO_MODEL)
            found["point"] = gui.add_button(
                "Point at it myself", hint="Then open a photograph and click on the object"
            )
        with gui.add_folder("Relevancy"):
            found["blend"] = gui.add_slider("Blend", 0.0, 1.0, 0.05, 0.85)
            found["threshold"] = gui.add_slider("Threshold", 0.0, 1.0, 0.05, 0.0)
            found["shown"] = {
                part: gui.add_checkbox(label, part not in HIDDEN, hint=hint)
                for part, (label, hint) in PARTS.items()
            }
    with tabs.add_tab("Photographs"):
        found |= _add_strip(gui, images)
        found["photo"] = gui.add_dropdown("Image", images or (NOTHING,))
        found["open"] = gui.add_button("Open it", hint="Or click on a camera in the scene")
        found["camera"] = gui.add_button("Look from its camera", hint="At the scene, not at the photograph")
        # A fourth button beside Start, Top and Front would cut their labels.
        found["base"] = gui.add_button("Look from the robot's base", visible=False)
    with tabs.add_tab("Grasps"):
        found["grasp"] = gui.add_dropdown("Grasp", (NOTHING,))
        # Single buttons: in viser 0.2 the same button of a group cannot be pressed twice.
        found["following"] = gui.add_button("Next grasp")
        found["previous"] = gui.add_button("Previous grasp")
        found["motion"] = gui.add_slider("Motion", 0.0, 1.0, 0.01, AT_GRASP)
        found["phase"] = gui.add_markdown("")
        found["play"] = gui.add_button("Play the motion")
        found["gripper"] = gui.add_dropdown("Gripper", grippers)
        found["numbers"] = gui.add_markdown("")
    with tabs.add_tab("Export"):
        found["json"] = gui.add_button("Download grasps.json")
        found["points"] = gui.add_button("Download points.json")
        found["ply"] = gui.add_button("Download the Gaussians (PLY)")
        found["screenshot"] = gui.add_button("Download a screenshot")
        found["about"] = gui.add_markdown("")
        found["command"] = gui.add_markdown("")
        with gui.add_folder("Come back to this"):
            found["keep"] = gui.add_button(
                "Write a line for this view", hint="Query, gripper, grasp and camera, as one line of text"
            )
            # Not Markdown: a long line without spaces would make the panel wider than the window.
            found["line"] = gui.add_text("Line", "", hint="Copy it, or paste one that you kept")
            found["restore"] = gui.add_button("Show what the line says")
    with tabs.add_tab("?"):
        gui.add_markdown(HELP)
    panel = Panel(**found)
    enable(panel, False)
    return panel


def set_theme(gui: Any) -> None:
    """Make the page dark, with the panel beside the scene and not over it."""
    layout = {}
    if hasattr(gui, "main_panel"):
        gui.main_panel.dock_right()
    else:  # viser 0.2
        layout["control_layout"] = "collapsible"
    # On this colour viser writes in black, with a contrast of 5.7.
    gui.configure_theme(dark_mode=True, brand_color=(46, 148, 121), **layout)


def _add_strip(gui: viser.GuiApi, images: tuple[str, ...]) -> dict[str, Any]:
    """Add the strip of photographs, with a button for each; the buttons of other pages are hidden."""
    # Without a folder for pictures viser warns, also about pictures that are within the text.
    strip = gui.add_markdown("", image_root=Path())
    numbers = [str(number) for number in range(1, len(images) + 1)]
    rows = tuple(
        gui.add_button_group("Open", numbers[start : start + COLUMNS], visible=start < ROWS * COLUMNS)
        for start in range(0, len(numbers), COLUMNS)
    )
    turn = gui.add_button_group("Photographs", TURNS, visible=len(images) > ROWS * COLUMNS)
    return {"strip": strip, "rows": rows, "turn": turn, "photos": gui.add_markdown("")}


def enable(panel: Panel, enabled: bool) -> None:
    """Enable or disable every control that needs a session."""
    finding = ("query", "new", "role", "point", "click", "undo", "open", "camera")
    grasping = ("gripper", "grasp", "following", "previous", "play", "motion")
    for name in (*finding, *grasping, "json", "points", "ply", "screenshot", "keep", "restore"):
        getattr(panel, name).disabled = not enabled
    panel.ask.disabled = not (enabled and panel.asks)


def on_press(group: Any, act: Callable[[viser.ClientHandle, str], None]) -> None:
    """Attach a callback to a group of buttons; it gets the client and the button's label."""

    def pressed(event: Any) -> None:
        if event.client is not None:
            label = event.target.value
            group.value = ""
            act(event.client, label)

    # viser 0.2 reports only changes of a group's value, which is that of its first button at first.
    group.value = ""
    group.on_click(pressed)


def set_value(handle: Any, value: object) -> None:
    """Set a control if its value differs: every change is sent to all browsers."""
    if handle.value != value:
        handle.value = value
