"""``point2act grasp-image COLOR DEPTH --intrinsics FILE --point X,Y``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from point2act.cli.option_groups import MaskOptions, QueryOptions
from point2act.cli.options import Texts, parse
from point2act.cli.summary import IMAGE_ADVICE, print_summary
from point2act.core.errors import PointsError
from point2act.core.progress import Stages
from point2act.core.types import Capture, Head, PointSet, View
from point2act.grasping.depth_noise import Sensor
from point2act.vlm.clients.factory import ClientConfig
from point2act.vlm.pointing.questions import AskConfig, ask

if TYPE_CHECKING:
    from point2act.pipeline.grasp_image import ImageResult
else:
    ImageResult = Any


@dataclass(frozen=True)
class ImageInput:
    """One image with depth, from one camera."""

    color: tyro.conf.Positional[Path]
    """Colour image."""
    depth: tyro.conf.Positional[Path]
    """Depth image, registered to the colour image: 16-bit PNG, or .npy."""
    intrinsics: str
    """fx,fy,cx,cy in pixels; or a JSON file with these, as librealsense names them; or a text file with the
    3x3 matrix. The centre of the first pixel is 0, as in OpenCV and ROS."""
    depth_unit: float | None = None
    """Metres per unit of depth: by default that of the JSON file, else 0.001, and 1 for .npy with floats."""
    up: str | None = None
    """Direction that is up, x,y,z in the camera frame (x right, y down, z forward): it becomes the z axis of
    the world frame. By default the world frame is the camera frame."""
    sensor: Sensor = "auto"
    """Kind of depth camera: its published noise is the prior of what the images show."""


@dataclass(frozen=True)
class ImageQueries(QueryOptions):
    """What to grasp: pixels, or words for a model."""

    point: Texts = ()
    """Pixel x,y on something to grasp. Repeatable: one result for each."""


@dataclass(frozen=True)
class ImageGripper:
    """The robot."""

    gripper: str = "panda"
    """Name of a shipped gripper, or path of a gripper's .toml file."""
    hand: str | None = None
    """Hand instead of the gripper: allegro, leap or a file."""
    head: Head = "auto"
    """Source of a hand's grasps: optimised random starts, a network's proposals, or both; by default both
    where weights ship."""
    executions: int = 8
    """Best grasps of a hand that are executed in physics on the measured surface before one is chosen."""


@dataclass(frozen=True)
class ImageOutput:
    """Files to write."""

    output: Path = Path("grasps.json")
    """File to write; a picture of the best grasps, .png, is written beside it."""
    report: bool = False
    """Also write report.html, in the same folder."""


@dataclass(frozen=True)
class ImageSpeed:
    """Where it is computed."""

    device: str | None = None
    """Device, cpu or cuda; by default cuda where it is available."""
    seed: int = 0
    """Seed of the random numbers: the same seed gives the same grasps."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Plan grasps on one colour image with depth, in seconds: nothing is reconstructed.

    Name a pixel on each thing, or ask a model:

      point2act grasp-image color.png depth.png --intrinsics 615,615,320,240 --point 412,203
      point2act grasp-image color.png depth.png --intrinsics camera.json \\
          --query "the handle of the mug" --model qwen3_vl_8b

    Writes grasps.json and a picture of the best grasps. Grasps are in metres, in the camera frame (x right, y
    down, z forward) unless --up is given.
    """

    input: Annotated[ImageInput, tyro.conf.arg(name="")]
    queries: Annotated[ImageQueries, tyro.conf.arg(name="")] = field(default_factory=ImageQueries)
    model: Annotated[ClientConfig, tyro.conf.arg(name="")] = field(default_factory=ClientConfig)
    masks: Annotated[MaskOptions, tyro.conf.arg(name="")] = field(default_factory=MaskOptions)
    gripper: Annotated[ImageGripper, tyro.conf.arg(name="")] = field(default_factory=ImageGripper)
    output: Annotated[ImageOutput, tyro.conf.arg(name="")] = field(default_factory=ImageOutput)
    speed: Annotated[ImageSpeed, tyro.conf.arg(name="")] = field(default_factory=ImageSpeed)


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and plan grasps."""
    arguments = parse(Arguments, argv, "grasp-image")
    queries = arguments.queries
    if bool(queries.point) == queries.given:
        raise PointsError("give either --point X,Y, or --query with the --model to ask")
    points = [_numbers("--point", text, 2) for text in queries.point]
    up = None if arguments.input.up is None else _numbers("--up", arguments.input.up, 3)
    _grasp(arguments, points, up)


def _grasp(arguments: Arguments, points: list[tuple[float, ...]], up: tuple[float, ...] | None) -> None:
    # Late, as in the other commands: --help is quick.
    from point2act.data.capture.write import write_png
    from point2act.grasping.grasps_json import write_grasps
    from point2act.pipeline.grasp_image import ImageConfig, grasp_view
    from point2act.pipeline.planning import chosen_end_effector

    config = ImageConfig(device=arguments.speed.device)
    answer = replace(
        config.answer,
        gripper=arguments.gripper.gripper,
        hand=arguments.gripper.hand,
        hands=replace(
            config.answer.hands, head=arguments.gripper.head, executions=arguments.gripper.executions
        ),
        sensor=arguments.input.sensor,
        seed=arguments.speed.seed,
    )
    # Report a wrong name before anything is read.
    chosen_end_effector(answer)
    segmenter = arguments.masks.open()
    stages = Stages(show=True)
    with stages.stage("read the image"):
        capture, view = _read(arguments.input, up)
    given = _points(arguments, capture, view, points, stages)
    config = replace(config, answer=answer)
    found = grasp_view(capture, view, given, segmenter=segmenter, config=config, stages=stages)
    output = arguments.output.output
    write_grasps(
        output,
        found.results,
        capture=capture,
        gripper=found.answered.gripper,
        plan=found.answered.plan,
    )
    print_summary(found.results, advice=IMAGE_ADVICE)
    print(f"grasps: {output}", flush=True)
    write_png(output.with_suffix(".png"), found.picture())
    print(f"picture: {output.with_suffix('.png')}")
    if arguments.output.report:
        _write_report(output.with_name("report.html"), found, stages)


def _read(given: ImageInput, up: tuple[float, ...] | None) -> tuple[Capture, View]:
    """Read the image as a capture of one frame, and load it at full size."""
    from point2act.data.importers.single_image import read_intrinsics, read_single_image
    from point2act.pipeline.image_input import camera_pose

    calibration = read_intrinsics(given.intrinsics, given.color)
    return read_single_image(
        given.color, given.depth, calibration, camera_pose(up), depth_unit=given.depth_unit
    )


def _points(
    arguments: Arguments, capture: Capture, view: View, points: list[tuple[float, ...]], stages: Stages
) -> PointSet:
    """Return the given points, else those of a model."""
    from point2act.pipeline.image_input import given_points

    if points:
        return given_points([(x, y) for x, y in points], view.name)
    questions = arguments.queries.questions(lambda: capture, AskConfig(arguments.model))
    return ask(capture, questions, stages=stages).points


def _write_report(path: Path, found: ImageResult, stages: Stages) -> None:
    from point2act.pipeline.outputs import RunSummary, publish_report

    facts = {"Gaussians": f"{len(found.session.scene)}, not fitted: 1 view with depth"}
    publish_report(path, RunSummary(found.session, found.answered, stages.seconds, facts, stages.spans))
    print(f"report: {path}")


def _numbers(option: str, text: str, count: int) -> tuple[float, ...]:
    """Parse numbers separated by commas."""
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count:
        example = ("412,203", "0,-1,0")[count - 2]
        raise PointsError(f"{option} {text}: give {count} numbers separated by commas, such as {example}")
    return numbers
