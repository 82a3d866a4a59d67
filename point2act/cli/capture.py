"""``point2act capture rgbd|bag|photos|video|droid|… …``: other recordings to a capture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import tyro

from point2act.cli.capture_bag import Bag, convert_bag
from point2act.cli.capture_episode import Droid, Hdf5, Lerobot, convert_episode
from point2act.cli.options import parse_kind
from point2act.core.errors import CaptureError
from point2act.core.logs import printable
from point2act.core.progress import Stages
from point2act.data.importers.calibration import read_calibration
from point2act.data.importers.layouts import LayoutName, detect_layout, read_recording
from point2act.data.importers.phones import App, convert_export
from point2act.data.importers.photos import extract_sharp_frames, list_photos, prepare_photos
from point2act.data.importers.write import check_output_free, subsample, write_recording, write_structure

if TYPE_CHECKING:
    from point2act.data.importers.metric_scale import KnownDistance, MetricScale, PrintedMarkers
    from point2act.data.importers.sfm import SfmModel


@dataclass(frozen=True)
class Rgbd:
    """Convert an RGB-D recording in the format of TUM RGB-D, 7-Scenes, ScanNet, BOP or RealSense.

    Plain folders have color/, depth/ (16-bit, millimetres), pose/ or poses.txt (4x4, camera to world), and
    camera.json with the fields of librealsense's intrinsics.
    """

    recording: tyro.conf.Positional[Path]
    """Folder of the recording; for BOP, the folder of one scene."""
    output: Path
    """Folder of the capture to write; new or empty."""
    layout: LayoutName | None = None
    """Layout of the files; by default it is detected."""
    camera: Path | None = None
    """JSON file that describes the camera, in place of the recording's own: width, height, fx, fy, ppx, ppy,
    coeffs, model, as librealsense names them; for two cameras under color and depth, with depth_to_color; and
    depth_scale in metres."""
    every: int = 1
    """Use every n-th image only."""
    max_frames: int | None = None
    """Maximum number of images to use, spread evenly."""


@dataclass(frozen=True)
class Photos:
    """Convert photographs of one scene: COLMAP estimates the camera poses.

    The scale is unknown, and grasps cannot be planned, unless --scale-from gives a known length.
    """

    photos: tyro.conf.Positional[Path]
    """Folder of the photographs."""
    output: Path
    """Folder of the capture to write; new or empty."""
    scale_from: str | None = None
    """Known length that makes the capture metric. Printed markers on the table, which also give the vertical:
    aruco:DICTIONARY:SIDE, as in aruco:4X4_50:0.04. Or the distance of two points marked in at least two
    photographs: distance:METRES:PHOTO:x,y:x,y:PHOTO:x,y:x,y, as in
    distance:0.31:a.jpg:412,233:518,240:b.jpg:80,300:190,310."""
    max_side: int = 1600
    """Longer side of the images, pixels; larger photographs are reduced."""


@dataclass(frozen=True)
class Video:
    """Convert a video around one scene: its sharpest frames are used as photographs."""

    video: tyro.conf.Positional[Path]
    """Video file."""
    output: Path
    """Folder of the capture to write; new or empty."""
    frames: int = 60
    """Number of equal intervals of the video, each of which gives its sharpest frame."""
    scale_from: str | None = None
    """Known length that makes the capture metric, as in point2act capture photos: aruco:DICTIONARY:SIDE."""
    max_side: int = 1600
    """Longer side of the images, pixels."""


@dataclass(frozen=True)
class Record3d:
    """Convert an unpacked .r3d export of Record3D, by nerfstudio's converter: colours and poses."""

    export: tyro.conf.Positional[Path]
    """Folder with rgb/ and metadata.json."""
    output: Path
    """Folder of the capture to write; new or empty."""


@dataclass(frozen=True)
class Polycam:
    """Convert a raw export of Polycam, by nerfstudio's converter: colours, poses and depth."""

    export: tyro.conf.Positional[Path]
    """Folder or .zip file with keyframes/."""
    output: Path
    """Folder of the capture to write; new or empty."""


KINDS = {
    "rgbd": Rgbd,
    "bag": Bag,
    "photos": Photos,
    "video": Video,
    "record3d": Record3d,
    "polycam": Polycam,
    "droid": Droid,
    "lerobot": Lerobot,
    "hdf5": Hdf5,
}
"""What can be converted."""


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and write a capture."""
    arguments = parse_kind(KINDS, argv, "capture", CaptureError, "convert")
    if isinstance(arguments, Bag):
        convert_bag(arguments)
        return
    check_output_free(arguments.output)
    if isinstance(arguments, Rgbd):
        _rgbd(arguments)
    elif isinstance(arguments, Photos):
        paths = list_photos(arguments.photos)
        _structure(paths, arguments.output, arguments.scale_from, arguments.max_side)
    elif isinstance(arguments, Video):
        _video(arguments)
    elif isinstance(arguments, (Droid, Lerobot, Hdf5)):
        convert_episode(arguments)
    else:
        app: App = "polycam" if isinstance(arguments, Polycam) else "record3d"
        convert_export(app, arguments.export, arguments.output)
    print(f"capture: {arguments.output}")


def _rgbd(arguments: Rgbd) -> None:
    layout = arguments.layout or detect_layout(arguments.recording)
    calibration = None if arguments.camera is None else read_calibration(arguments.camera)
    recording = read_recording(arguments.recording, layout, calibration)
    frames = subsample(recording.frames, arguments.every, arguments.max_frames)
    for note in (f"layout {layout}: {len(frames)} of {len(recording.frames)} images", *recording.notes):
        print(printable(note))
    with Stages(show=True).stage("write the capture") as tick:
        write_recording(arguments.output, replace(recording, frames=frames), progress=tick)


def _video(arguments: Video) -> None:
    with TemporaryDirectory(prefix="point2act-") as temporary:
        with Stages(show=True).stage("select sharp frames") as tick:
            paths = extract_sharp_frames(arguments.video, arguments.frames, Path(temporary), progress=tick)
        _structure(paths, arguments.output, arguments.scale_from, arguments.max_side)


def _structure(paths: Sequence[Path], output: Path, scale_from: str | None, max_side: int) -> None:
    from point2act.data.importers.alignment import align_model
    from point2act.data.importers.sfm import reconstruct_photos

    reference = None if scale_from is None else _reference(scale_from, paths)
    stages = Stages(show=True)
    with TemporaryDirectory(prefix="point2act-") as temporary:
        with stages.stage("load the photographs") as tick:
            photos = prepare_photos(paths, Path(temporary) / "photos", max_side, progress=tick)
        with stages.stage("estimate camera poses") as tick:
            structure = reconstruct_photos(photos, Path(temporary), progress=tick)
        print(f"{len(structure.frames)} of {len(photos)} photographs registered")
        if structure.missing:
            print(printable(f"not registered: {', '.join(structure.missing)}"))
        measure = None if reference is None else _measured(structure, reference)
        placed = align_model(structure, measure)
        with stages.stage("write the capture"):
            write_structure(output, placed, metric=measure is not None)
    if measure is None:
        print("lengths are not metres: queries can be localized, but grasps need --scale-from")


def _reference(scale_from: str, paths: Sequence[Path]) -> KnownDistance | PrintedMarkers:
    """Parse --scale-from and check it before the reconstruction starts."""
    from point2act.data.importers.metric_scale import PrintedMarkers, check_marked_photos, parse_scale

    reference = parse_scale(scale_from)
    if isinstance(reference, PrintedMarkers):
        from point2act.data.importers.markers import open_dictionary

        open_dictionary(reference.dictionary)
    else:
        check_marked_photos(reference, {path.name for path in paths})
    return reference


def _measured(structure: SfmModel, reference: KnownDistance | PrintedMarkers) -> MetricScale:
    """Measure the scale and print how well it is known."""
    from point2act.data.importers.metric_scale import PrintedMarkers, scale_from_distance, scale_from_markers

    if not isinstance(reference, PrintedMarkers):
        return scale_from_distance(structure, reference)
    from point2act.data.importers.markers import find_markers

    measure = scale_from_markers(find_markers(structure.frames, reference.dictionary), reference)
    print(f"sides of the markers agree within {100 * (measure.spread or 0.0):.1f} %")
    if measure.T_structure_board is None:
        print("the markers do not lie in one plane: the vertical is estimated from the cameras")
    return measure
