"""One browser: its camera, and the photograph that is open in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import viser
import viser.transforms
from jaxtyping import Float, UInt8

from point2act.core.types import View
from point2act.visualization.initial_camera import InitialCamera
from point2act.visualization.viewer.photos import (
    FOV,
    OVERLAYS,
    BrowserCamera,
    Overlay,
    camera_facing,
    pixel_under,
    place_photo,
)

# Distance of a photograph in front of its camera, as a fraction of the distance to the scene: nearer than
# anything in focus. Chosen.
_PHOTO_DISTANCE = 0.25
# Sine of the angle between up and forward below which they count as parallel. Chosen.
_PARALLEL = 1e-3
# Order of the photograph's controls: before everything else in the panel.
_FIRST = -1.0


@dataclass(frozen=True)
class PhotoActions:
    """Callbacks of an open photograph; each gets the client that acts."""

    pointed: Callable[[Client, Float[np.ndarray, "2"]], None]
    """Called with a clicked pixel of the shown view."""
    hidden: Callable[[Client], None]
    """Called when the object is marked as not visible."""
    retract: Callable[[Client], None]
    """Called to remove the user's answers for this photograph."""
    step: Callable[[Client, int], None]
    """Called with an offset to another photograph."""
    redraw: Callable[[Client], None]
    """Called when another overlay was chosen."""


class Client:
    """One browser that shows the page."""

    def __init__(
        self,
        handle: viser.ClientHandle,
        initial_camera: InitialCamera,
        unit: float,
        parts: Callable[[], dict[str, bool]],
        actions: PhotoActions,
    ):
        """Move the browser's camera to its initial pose.

        Args:
            handle: viser's handle.
            initial_camera: Camera to start from, world frame.
            unit: viser's units per unit of the world.
            parts: Returns which parts of the scene are shown in all browsers.
            actions: Callbacks of the open photograph.
        """
        self.handle = handle
        self.image: str | None = None
        """Name of the open photograph."""
        self.overlay: Overlay = OVERLAYS[0]
        self.view: View | None = None
        """View of the open photograph."""
        self._distance = _PHOTO_DISTANCE * initial_camera.distance
        self._unit, self._actions, self._parts = unit, actions, parts
        self._folder: viser.GuiFolderHandle | None = None
        self._photo: viser.SceneNodeHandle | None = None
        self._before: BrowserCamera | None = None
        self._look(BrowserCamera(initial_camera.eye, initial_camera.center, initial_camera.up, FOV))

    def camera(self) -> BrowserCamera:
        """Return the camera of the browser, world frame."""
        camera = self.handle.camera
        eye, at = camera.position / self._unit, camera.look_at / self._unit
        return BrowserCamera(eye, at, camera.up_direction, camera.fov)

    def look(self, new: BrowserCamera) -> None:
        """Close the photograph, if one is open, and look from another camera, world frame."""
        self.close()
        self._look(new)

    def _look(self, new: BrowserCamera) -> None:
        """Move the browser's camera."""
        with self.handle.atomic():
            move_camera(self.handle.camera, new, self._unit)

    def open(self, image: str, view: View) -> None:
        """Look at a photograph from where it was taken; ``draw`` draws it."""
        if self.image is None:
            self._before = self.camera()
        self.image, self.view = image, view
        if self._folder is None:
            self._build()
        self._show_scene(False)
        placed = place_photo(view.camera, view.T_world_cam, self._distance)
        self._look(camera_facing(placed, self.handle.camera.aspect))

    def draw(self, picture: UInt8[np.ndarray, "h w 3"], text: str) -> None:
        """Draw the open photograph, with Markdown beside it."""
        if self.view is None:
            return
        self._text.content = text
        placed = place_photo(self.view.camera, self.view.T_world_cam, self._distance)
        self._photo = self.handle.scene.add_image(
            "/photo",
            picture,
            self._unit * placed.width,
            self._unit * placed.height,
            jpeg_quality=92,
            wxyz=viser.transforms.SO3.from_matrix(placed.T_world_photo[:3, :3]).wxyz,
            position=self._unit * placed.T_world_photo[:3, 3],
        )
        self._photo.on_click(self._clicked)

    def wait_for_click(
        self, clicked: Callable[[Float[np.ndarray, "3"], Float[np.ndarray, "3"]], None]
    ) -> None:
        """Call back with the ray of the next click in the scene: origin and direction, world.

        Until then dragging does not rotate the scene: viser sends clicks only so.
        """
        scene = self.handle.scene

        @scene.on_pointer_event(event_type="click")
        def _(event: viser.ScenePointerEvent) -> None:
            scene.remove_pointer_callback()
            if event.ray_origin is not None and event.ray_direction is not None:
                clicked(np.array(event.ray_origin) / self._unit, np.array(event.ray_direction))

    def close(self) -> None:
        """Close the photograph, if one is open, and move the camera back."""
        if self.image is None:
            return
        for node in (self._folder, self._photo):
            if node is not None:
                node.remove()
        self._folder = self._photo = self.view = self.image = None
        self._show_scene(True)
        if self._before is not None:
            self._look(self._before)

    def _show_scene(self, shown: bool) -> None:
        """Hide everything but the photograph in this browser, or show it as in the others."""
        for part, visible in self._parts().items():
            # A node of this client under the name of the shared one replaces it; its children stay.
            self.handle.scene.add_frame(f"/{part}", show_axes=False, visible=shown and visible)

    def _build(self) -> None:
        """Add the photograph's controls to this browser's panel."""
        gui, actions = self.handle.gui, self._actions
        self._folder = gui.add_folder("Photograph", order=_FIRST)
        with self._folder:
            self._text = gui.add_markdown("")
            drawn = gui.add_dropdown("Overlay", OVERLAYS, initial_value=self.overlay)
            # Single buttons: in viser 0.2 the same button of a group cannot be pressed twice.
            buttons: dict[str, Callable[[], None]] = {
                "Not visible here": lambda: actions.hidden(self),
                "Remove my answer": lambda: actions.retract(self),
                "Next photograph": lambda: actions.step(self, 1),
                "Previous photograph": lambda: actions.step(self, -1),
                "Back to the scene": self.close,
            }
            for label, act in buttons.items():
                gui.add_button(label).on_click(lambda _, act=act: act())

        @drawn.on_update
        def _(event: viser.GuiEvent) -> None:
            self.overlay = event.target.value
            actions.redraw(self)

    def _clicked(self, event: viser.SceneNodePointerEvent) -> None:
        view = self.view
        if view is None or event.ray_origin is None or event.ray_direction is None:
            return
        pixel = pixel_under(
            view.camera,
            view.T_world_cam,
            self._distance,
            np.array(event.ray_origin) / self._unit,
            np.array(event.ray_direction),
        )
        if pixel is not None:
            self._actions.pointed(self, pixel)


def move_camera(camera: viser.CameraHandle, new: BrowserCamera, unit: float) -> None:
    """Move a camera of viser, which (1.x) refuses to look along the direction up, also in between.

    Args:
        camera: Camera to move.
        new: Where to, world frame.
        unit: viser's units per unit of the world.
    """
    forward = camera.look_at - camera.position
    across = np.linalg.norm(np.cross(new.up, forward))
    up_last = across < _PARALLEL * np.linalg.norm(new.up) * np.linalg.norm(forward)
    if not up_last:
        camera.up_direction = new.up
    camera.position = unit * new.position
    camera.look_at = unit * new.look_at
    if up_last:
        camera.up_direction = new.up
    camera.fov = new.fov
