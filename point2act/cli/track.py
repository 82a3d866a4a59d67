"""``point2act track FOLDER --click X,Y``: follow things through an RGB-D recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro

from point2act.cli.options import Texts, parse
from point2act.core.errors import PointsError
from point2act.core.progress import Stages
from point2act.data.importers.calibration import read_calibration
from point2act.data.importers.layouts import read_sequence
from point2act.data.importers.recording import Recording, load_frame

if TYPE_CHECKING:
    from point2act.acting import Thing, Track
else:
    Thing = Track = Any

# Largest number of pictures of the film, their longer side in pixels, and pictures per second. Chosen: such a
# film is below a megabyte.
_PICTURES, _SIDE, _RATE = 60, 640, 10.0


@dataclass(frozen=True)
class Arguments:
    """Follow things through an RGB-D recording, from a click on each in its first image.

      point2act track recording/ --click 215,168 --click ball=419,175 --output tracks.json

    The camera may move or stand still; things may be moved, hidden and lost for a while. Writes tracks.json,
    and a film, tracks.webp: for each frame and thing the pixel of its middle, its position in the camera
    frame in metres, whether it is tracked or lost, and a score.
    """

    recording: tyro.conf.Positional[Path]
    """Folder with color/, depth/ (16-bit, millimetres) and camera.json with the fields of librealsense's
    intrinsics, as for point2act capture rgbd but without poses; or a recording in another of its layouts."""
    click: Texts = ()
    """Pixel X,Y on a thing in the first colour image, or NAME=X,Y. Repeatable."""
    output: Path = Path("tracks.json")
    """File to write; a film, .webp, is written beside it."""
    camera: Path | None = None
    """JSON file that describes the camera, in place of the recording's own, as for point2act capture rgbd."""


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and track the things."""
    arguments = parse(Arguments, argv, "track")
    if not arguments.click:
        raise PointsError("give --click X,Y, a pixel on each thing in the first image")
    clicks = _clicks(arguments.click)
    calibration = None if arguments.camera is None else read_calibration(arguments.camera)
    recording = read_sequence(arguments.recording, calibration)
    # Late, as in the other commands: --help is quick.
    from point2act.acting.tracking.recorded_sequence import things_at, track_recording
    from point2act.acting.tracking.tracks_json import write_tracks
    from point2act.core.files import write_bytes
    from point2act.core.threads import configure_threads

    configure_threads()
    stages = Stages(show=True)
    with stages.stage("find the things"):
        things = things_at(recording, clicks)
    names = [recorded.frame.image_path.name for recorded in recording.frames]
    frames: dict[str, tuple[Track, ...]] = {}
    with stages.stage("track the things") as tick:
        for name, tracks in zip(names, track_recording(recording, things), strict=True):
            frames[name] = tracks
            tick(len(frames), len(names))
    write_tracks(arguments.output, arguments.recording, frames)
    _summarise(frames, len(frames) / stages.seconds["track the things"])
    print(f"tracks: {arguments.output}", flush=True)
    film = arguments.output.with_suffix(".webp")
    with stages.stage("draw the film"):
        write_bytes(film, _film(recording, things, list(frames.values())))
    print(f"film: {film}")


def _clicks(texts: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Parse X,Y or NAME=X,Y."""
    clicks: dict[str, tuple[float, float]] = {}
    for number, text in enumerate(texts, start=1):
        name, _, numbers = text.rpartition("=")
        try:
            x, y = (float(word) for word in numbers.split(","))
        except ValueError:
            x = y = np.nan
        if not np.isfinite([x, y]).all():
            raise PointsError(f"--click {text}: give a pixel X,Y or NAME=X,Y, such as 215,168 or cup=215,168")
        name = name or f"thing {number}"
        if name in clicks:
            raise PointsError(f"--click {text}: there are two clicks named {name!r}: give each its own name")
        clicks[name] = (x, y)
    return clicks


def _summarise(frames: Mapping[str, Sequence[Track]], rate: float) -> None:
    """Print in how many frames each thing is tracked, and the speed."""
    print(f"{len(frames)} frames, {rate:.1f} per second")
    for found in zip(*frames.values(), strict=True):
        lost = [image for image, track in zip(frames, found, strict=True) if track.state == "lost"]
        where = f", lost first in {lost[0]}" if lost else ""
        print(f"{found[0].name}: tracked in {len(frames) - len(lost)} of {len(frames)} frames{where}")


def _film(recording: Recording, things: Sequence[Thing], frames: Sequence[Sequence[Track]]) -> bytes:
    """Draw some of the frames with the things in them, evenly spread."""
    from point2act.core.geometry import project, transform_points
    from point2act.data.capture import shrink_view
    from point2act.visualization.drawing import PALETTE, draw_trail, encode_film

    pictures = []
    for number in np.unique(np.linspace(0, len(frames) - 1, _PICTURES).round().astype(int)):
        view = shrink_view(load_frame(recording, recording.frames[number]), _SIDE)
        picture = view.rgb
        for index, (thing, track) in enumerate(zip(things, frames[number], strict=True)):
            middles = np.array([tracks[index].position for tracks in frames[: number + 1]])
            trail, _ = project(view.camera, np.eye(4), middles)
            surface, _ = project(
                view.camera, np.eye(4), transform_points(track.T_cam_thing, thing.surface.points)
            )
            color = PALETTE[index % len(PALETTE)]
            lost = track.state == "lost"
            picture = draw_trail(picture, trail, surface, thing.name, color, lost=lost)
        pictures.append(picture)
    return encode_film(pictures, _RATE)
