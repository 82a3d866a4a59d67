"""``point2act capture rgbd|photos|video|record3d|polycam …``: what others recorded to a capture folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import tyro

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
    """Colour, depth and pose files as TUM RGB-D, 7-Scenes, ScanNet, BOP or RealSense users have them.

    Plain folders have color/, depth/ (16-bit millimetres), pose/ or poses.txt (4x4, camera to world), and
    camera.json with the fields of librealsense's intrinsics.
    """

    recording: tyro.conf.Positional[Path]
    """The folder; of BOP, one scene's."""
    output: Path
    """Folder of the capture to write; there must be nothing in it."""
    layout: LayoutName | None = None
    """How the files are laid out; by default the layout that they fit."""
    camera: Path | None = None
    """JSON file that describes the camera, in place of what the recording says: width, height, fx, fy, ppx,
    ppy, coeffs, model, as librealsense names them; of two cameras under color and depth, with depth_to_color;
    and depth_scale in metres."""
    every: int = 1
    """Take every n-th image only."""
    max_frames: int | None = None
    """Of those, take so many at most, spread evenly."""


@dataclass(frozen=True)
class Photos:
    """Photographs of one scene: COLMAP finds where they were taken from.

    Lengths are not metres, and no grasps are planned, unless --scale-from says how long something is.
    """

    photos: tyro.conf.Positional[Path]
    """The folder of the photographs."""
    output: Path
    """Folder of the capture to write; there must be nothing in it."""
    scale_from: str | None = None
    """What makes lengths metres. Printed markers on the table, which also say what is level:
    aruco:DICTIONARY:SIDE, as in aruco:4X4_50:0.04. Or two points marked in two photographs or more:
    distance:METRES:PHOTO:x,y:x,y:PHOTO:x,y:x,y, as in
    distance:0.31:a.jpg:412,233:518,240:b.jpg:80,300:190,310."""
    max_side: int = 1600
    """Longer side of the images in pixels; larger photographs are made smaller."""


@dataclass(frozen=True)
class Video:
    """A video around one scene: its sharpest pictures, as photographs."""

    video: tyro.conf.Positional[Path]
    """The file."""
    output: Path
    """Folder of the capture to write; there must be nothing in it."""
    frames: int = 60
    """Pictures to take: the sharpest of so many equally long stretches."""
    scale_from: str | None = None
    """What makes lengths metres: aruco:DICTIONARY:SIDE, see `point2act capture photos --help`."""
    max_side: int = 1600
    """Longer side of the images in pixels."""


@dataclass(frozen=True)
class Record3d:
    """An export of Record3D (.r3d unpacked), by nerfstudio's converter: colours and poses, no depth."""

    export: tyro.conf.Positional[Path]
    """The folder with rgb/ and metadata.json."""
    output: Path
    """Folder of the capture to write; there must be nothing in it."""


@dataclass(frozen=True)
class Polycam:
    """A raw export of Polycam, by nerfstudio's converter: colours, poses, and depth where it has some."""

    export: tyro.conf.Positional[Path]
    """The folder or .zip file with keyframes/."""
    output: Path
    """Folder of the capture to write; there must be nothing in it."""


Arguments = (
    Annotated[Rgbd, tyro.conf.subcommand(name="rgbd")]
    | Annotated[Photos, tyro.conf.subcommand(name="photos")]
    | Annotated[Video, tyro.conf.subcommand(name="video")]
    | Annotated[Record3d, tyro.conf.subcommand(name="record3d")]
    | Annotated[Polycam, tyro.conf.subcommand(name="polycam")]
)


def main(argv: Sequence[str]) -> None:
    """Parse and run."""
    arguments = tyro.cli(Arguments, args=argv, prog="point2act capture")  # type: ignore[call-overload]
    check_output_free(arguments.output)
    if isinstance(arguments, Rgbd):
        _rgbd(arguments)
    elif isinstance(arguments, Photos):
        paths = list_photos(arguments.photos)
        _structure(paths, arguments.output, arguments.scale_from, arguments.max_side)
    elif isinstance(arguments, Video):
        _video(arguments)
    else:
        app: App = "polycam" if isinstance(arguments, Polycam) else "record3d"
        convert_export(app, arguments.export, arguments.output)
    print(f"capture: {arguments.output}")


def _rgbd(arguments: Rgbd) -> None:
    layout = arguments.layout or detect_layout(arguments.recording)
    calibration = None if arguments.camera is None else read_calibration(arguments.camera)
    recording = read_recording(arguments.recording, layout, calibration)
    shots = subsample(recording.shots, arguments.every, arguments.max_frames)
    for note in (f"laid out like {layout}: {len(shots)} of {len(recording.shots)} images", *recording.notes):
        print(printable(note))
    with Stages(show=True).stage("write the capture") as tick:
        write_recording(arguments.output, replace(recording, shots=shots), progress=tick)


def _video(arguments: Video) -> None:
    with TemporaryDirectory(prefix="point2act-") as temporary:
        with Stages(show=True).stage("find sharp pictures") as tick:
            paths = extract_sharp_frames(arguments.video, arguments.frames, Path(temporary), progress=tick)
        _structure(paths, arguments.output, arguments.scale_from, arguments.max_side)


def _structure(paths: Sequence[Path], output: Path, scale_from: str | None, max_side: int) -> None:
    from point2act.data.importers.alignment import align_model
    from point2act.data.importers.sfm import reconstruct_photos

    reference = None if scale_from is None else _reference(scale_from, paths)
    stages = Stages(show=True)
    with TemporaryDirectory(prefix="point2act-") as temporary:
        with stages.stage("read the photographs") as tick:
            photos = prepare_photos(paths, Path(temporary) / "photos", max_side, progress=tick)
        with stages.stage("find the cameras") as tick:
            structure = reconstruct_photos(photos, Path(temporary), progress=tick)
        print(f"{len(structure.frames)} of {len(photos)} photographs placed")
        if structure.missing:
            print(printable(f"not placed: {', '.join(structure.missing)}"))
        measure = None if reference is None else _measured(structure, reference)
        placed = align_model(structure, measure)
        with stages.stage("write the capture"):
            write_structure(output, placed, metric=measure is not None)
    if measure is None:
        print(
            "lengths are not metres: places will be found, but no grasps planned, until --scale-from is given"
        )


def _reference(scale_from: str, paths: Sequence[Path]) -> KnownDistance | PrintedMarkers:
    """What the scale is to be known from, checked as far as it can be before the long work."""
    from point2act.data.importers.metric_scale import PrintedMarkers, check_marked_photos, parse_scale

    reference = parse_scale(scale_from)
    if isinstance(reference, PrintedMarkers):
        from point2act.data.importers.markers import open_dictionary

        open_dictionary(reference.dictionary)
    else:
        check_marked_photos(reference, {path.name for path in paths})
    return reference


def _measured(structure: SfmModel, reference: KnownDistance | PrintedMarkers) -> MetricScale:
    """The scale, told."""
    from point2act.data.importers.metric_scale import PrintedMarkers, scale_from_distance, scale_from_markers

    if not isinstance(reference, PrintedMarkers):
        return scale_from_distance(structure, reference)
    from point2act.data.importers.markers import find_markers

    measure = scale_from_markers(find_markers(structure.frames, reference.dictionary), reference)
    print(f"sides of the markers agree within {100 * (measure.spread or 0.0):.1f} %")
    if measure.T_structure_board is None:
        print("the markers lie in no plane: up is where the cameras say")
    return measure
