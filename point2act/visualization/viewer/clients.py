"""One person at a browser: their camera, and the photograph that they have open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import viser
import viser.transforms
from jaxtyping import Float, UInt8

from point2act.core.types import View
from point2act.visualization.viewer.initial_camera import Outlook
from point2act.visualization.viewer.photos import FOV, OVERLAYS, Gaze, Overlay, gaze, hang, pixel_under

# How far in front of its camera a photograph hangs, as a share of the distance to the scene: nearer than
# anything that a camera can take a sharp picture of. Chosen.
_HANGS = 0.25
# Before everything else in the panel.
_FIRST = -1.0


@dataclass(frozen=True)
class PhotoActions:
    """What a person does with an open photograph; each is told who does it."""

    pointed: Callable[[Guest, Float[np.ndarray, "2"]], None]
    """At a pixel of the view that is shown."""
    hidden: Callable[[Guest], None]
    """The thing is not visible here."""
    take_back: Callable[[Guest], None]
    step: Callable[[Guest, int], None]
    """On to another photograph, so many further."""
    redraw: Callable[[Guest], None]
    """Another overlay was chosen."""


class Guest:
    """Somebody who watches."""

    def __init__(
        self,
        client: viser.ClientHandle,
        outlook: Outlook,
        unit: float,
        parts: Callable[[], dict[str, bool]],
        actions: PhotoActions,
    ):
        """Give them a good view to begin with.

        ``unit`` are viser's units in one of the world's, and ``parts`` says which parts of the scene are
        shown to all.
        """
        self.client = client
        self.image: str | None = None
        """The name of the photograph that is open."""
        self.overlay: Overlay = OVERLAYS[0]
        self._distance = _HANGS * outlook.distance
        self._unit, self._actions, self._parts = unit, actions, parts
        self.view: View | None = None
        """The open photograph's."""
        self._folder: viser.GuiFolderHandle | None = None
        self._photo: viser.SceneNodeHandle | None = None
        self._before: Gaze | None = None
        self.look(Gaze(outlook.eye, outlook.center, outlook.up, FOV))

    def look(self, new: Gaze) -> None:
        """Move their camera."""
        camera = self.client.camera
        with self.client.atomic():
            camera.up_direction = new.up
            camera.position = self._unit * new.position
            camera.look_at = self._unit * new.look_at
            camera.fov = new.fov

    def open(self, image: str, view: View) -> None:
        """Show them a photograph from where it was taken; ``draw`` draws it."""
        if self.image is None:
            camera = self.client.camera
            eye, at = camera.position / self._unit, camera.look_at / self._unit
            self._before = Gaze(eye, at, camera.up_direction, camera.fov)
        self.image, self.view = image, view
        if self._folder is None:
            self._build()
        hanging = hang(view.camera, view.T_world_cam, self._distance)
        self._show_scene(False)
        self.look(gaze(hanging, self.client.camera.aspect))

    def draw(self, picture: UInt8[np.ndarray, "h w 3"], words: str) -> None:
        """Draw the open photograph anew."""
        if self.view is None:
            return
        self._words.content = words
        camera, T_world_cam = self.view.camera, self.view.T_world_cam
        hanging = hang(camera, T_world_cam, self._distance)
        photo = self.client.scene.add_image(
            "/photo",
            picture,
            self._unit * hanging.width,
            self._unit * hanging.height,
            jpeg_quality=92,
            wxyz=viser.transforms.SO3.from_matrix(hanging.T_world_photo[:3, :3]).wxyz,
            position=self._unit * hanging.T_world_photo[:3, 3],
        )
        photo.on_click(self._clicked)
        self._photo = photo

    def close(self) -> None:
        """Put the photograph away and go back to where they were."""
        if self._folder is not None:
            self._folder.remove()
        if self._photo is not None:
            self._photo.remove()
        self._folder = self._photo = self.view = self.image = None
        self._show_scene(True)
        if self._before is not None:
            self.look(self._before)

    def _show_scene(self, shown: bool) -> None:
        """Hide everything from them but the photograph, or show it again as the others see it."""
        for part, visible in self._parts().items():
            # A node of their own under the name that everybody's has: it takes that one's place, and what
            # hangs on it stays.
            self.client.scene.add_frame(f"/{part}", show_axes=False, visible=shown and visible)

    def _build(self) -> None:
        """The photograph's own controls, in this person's panel only."""
        gui, actions = self.client.gui, self._actions
        self._folder = gui.add_folder("Photograph", order=_FIRST)
        with self._folder:
            self._words = gui.add_markdown("")
            drawn = gui.add_dropdown("Draw on it", OVERLAYS, initial_value=self.overlay)
            hidden = gui.add_button("Not visible here", hint="Nothing of it can be seen in this photograph")
            back = gui.add_button("Take back what I said here")
            # No group of buttons: in viser 0.2 the same one cannot be pressed twice.
            following = gui.add_button("Next photograph")
            previous = gui.add_button("Previous photograph")
            close = gui.add_button("Back to the scene")
        following.on_click(lambda _: actions.step(self, 1))
        previous.on_click(lambda _: actions.step(self, -1))
        hidden.on_click(lambda _: actions.hidden(self))
        back.on_click(lambda _: actions.take_back(self))
        close.on_click(lambda _: self.close())

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
