"""``point2act view OUT``: the scene in a browser."""

from __future__ import annotations

import os
import shlex
import sys
import threading
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from point2act.cli.load_run import is_run, open_scene
from point2act.cli.option_groups import AdaptiveOptions, MaskOptions, SpeedOptions
from point2act.cli.options import parse
from point2act.core import config_files
from point2act.core.errors import ResultsError
from point2act.core.progress import Stages
from point2act.core.types import Frame, GaussianScene, PointSet
from point2act.data.points import points_file, read_points
from point2act.data.run_manifest import NAME
from point2act.grasping.depth_noise import Sensor
from point2act.grasping.end_effector import load_end_effector
from point2act.grasping.grasps_json import read_grasps
from point2act.grasping.grippers import load_gripper
from point2act.grasping.hands.load import load_hand
from point2act.visualization.viewer import Viewer, ViewerConfig
from point2act.vlm.clients.factory import open_model
from point2act.vlm.pointing.questions import AskConfig, questions_for

if TYPE_CHECKING:
    from point2act.pipeline.interactive import QuestionFactory
    from point2act.pipeline.query import AnswerConfig
    from point2act.pipeline.session import Session
else:
    # They import torch, which takes seconds before anything is shown.
    AnswerConfig = QuestionFactory = Session = Any

# Seconds that the browser gets before the images are read: until it opens the page, and then to draw. A
# software renderer on two cores needs 1, and then 2 to 3.
_CONNECT_TIME, _DRAW_TIME = 2.0, 3.0


@dataclass(frozen=True)
class ViewInput:
    """The scene, and the answers that exist already."""

    source: tyro.conf.Positional[Path]
    """Folder of a run or of a capture; or a run.json or config.yml."""
    points: Path | None = None
    """Recorded answers; by default points.json of the run, else of its capture."""
    sensor: Sensor = "auto"
    """Kind of depth camera: its published noise is the prior of what the images show."""
    allow_outside: bool = False
    """Read files outside the capture's folder, also through symbolic links."""


@dataclass(frozen=True)
class RobotOptions:
    """The robot."""

    gripper: str | None = None
    """Shipped gripper or its .toml file; by default that of the run, else panda."""
    hand: str | None = None
    """Hand instead of the gripper: allegro, leap or a file."""
    arm: str | None = None
    """Name of a shipped arm, or path of an arm's .toml file: keep only grasps that it reaches."""
    metric: bool = False
    """Poses are in metres although there is no depth."""

    def end_effector(self, run: Path | None) -> str:
        """Return the hand or the gripper that is named, else that of the grasps of a run, if it ships.

        Args:
            run: Folder of the run; None without one.

        Raises:
            Point2ActError: There is none of that name.
        """
        if self.hand is not None:
            load_hand(self.hand)
        elif self.gripper is not None:
            load_gripper(self.gripper)
        return self.hand or self.gripper or _used_in(run) or "panda"


@dataclass(frozen=True)
class PageOptions(ViewerConfig):
    """Where the page is served."""

    browser: bool = True
    """Open a browser, if this machine has a screen."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Show a scene in a browser: ask, point at objects in the photographs, inspect and download grasps.

      point2act view out/                     a run of point2act run
      point2act view outputs/…/config.yml     a run of ns-train point2act
      point2act view capture/                 a capture, which is reconstructed first

    Without a model you point yourself: open a photograph and click. Points are saved in points.json of the
    run or the capture. Ctrl-C ends the program.
    """

    input: Annotated[ViewInput, tyro.conf.arg(name="")]
    model: Annotated[AdaptiveOptions, tyro.conf.arg(name="")] = field(default_factory=AdaptiveOptions)
    masks: Annotated[MaskOptions, tyro.conf.arg(name="")] = field(default_factory=MaskOptions)
    gripper_and_arm: Annotated[RobotOptions, tyro.conf.arg(name="")] = field(default_factory=RobotOptions)
    page: Annotated[PageOptions, tyro.conf.arg(name="")] = field(default_factory=PageOptions)
    speed: Annotated[SpeedOptions, tyro.conf.arg(name="")] = field(default_factory=SpeedOptions)


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and serve the page until the program is interrupted."""
    arguments = parse(Arguments, argv, "view")
    given, speed = arguments.input, arguments.speed
    arguments.gripper_and_arm.end_effector(None)
    make_questions = _question_factory(arguments.model)
    segmenter = arguments.masks.open()
    if is_run(given.source):
        opened = open_scene(given.source)
        end_effector = arguments.gripper_and_arm.end_effector(opened.folder)
        viewer = _show(arguments, opened.scene, opened.frames, opened.capture.folder.name, end_effector)
        # Reading the images keeps a small machine busy for seconds, and the browser needs it too.
        viewer.wait_for_browser(timeout=_CONNECT_TIME, drawing=_DRAW_TIME)
        with Stages(show=True).stage("read the images") as tick:
            session = opened.session(max_side=speed.max_side, device=speed.device, progress=tick)
        folder, known = opened.folder, given.points or opened.points
    else:
        session = _reconstruct(arguments)
        poses = [view.T_world_cam for view in session.views]
        pairs = zip(session.frames, poses, strict=True)
        frames = [replace(frame, T_world_cam=T_world_cam) for frame, T_world_cam in pairs]
        end_effector = arguments.gripper_and_arm.end_effector(None)
        viewer = _show(arguments, session.scene, frames, session.capture.folder.name, end_effector)
        folder = session.capture.folder
        known = points_file(given.points, folder)
    session = replace(session, segmenter=segmenter)
    saved = given.points or folder / "points.json"
    _connect(arguments, viewer, session, end_effector, known, saved, make_questions)
    try:
        threading.Event().wait()
    finally:
        viewer.stop()


def _question_factory(config: AskConfig) -> QuestionFactory | None:
    """Return a function from queries to questions; None if no model is named.

    The model is opened once, which reports a wrong name or a missing key, but it is not loaded or asked yet.
    """
    if config.client.model is None:
        return None
    opened = open_model(config.client)
    return lambda queries: questions_for(opened, queries, config=config)


def _used_in(run: Path | None) -> str | None:
    """Return the shipped gripper or hand that a run planned for; None for one of its own."""
    if run is None or not (run / "grasps.json").is_file():
        return None
    try:
        name = read_grasps(run / "grasps.json")["gripper"]["name"]
    except ResultsError:  # the page plans by itself, and can be opened without it
        return None
    return name if name in _shipped() else None


def _shipped() -> list[str]:
    """Return the names of all shipped grippers and hands."""
    return [*config_files.available("grippers"), *config_files.available("hands")]


def _show(
    arguments: Arguments, scene: GaussianScene, frames: Sequence[Frame], title: str, end_effector: str
) -> Viewer:
    shipped = _shipped()
    own = [] if end_effector in shipped else [end_effector]
    viewer = Viewer(
        scene,
        frames,
        title=title,
        grippers=(*own, *shipped),
        asks=arguments.model.client.model is not None,
        config=arguments.page,
    )
    print(f"page: {viewer.url}", flush=True)
    if arguments.page.browser and _has_screen():
        webbrowser.open(viewer.url)
    return viewer


def _has_screen() -> bool:
    """Return whether there is a screen: without one, a text browser may take over the terminal."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def _reconstruct(arguments: Arguments) -> Session:
    """Return a session on the scene of a capture, which is reconstructed now."""
    from point2act.pipeline.query import AnswerConfig
    from point2act.pipeline.run import build
    from point2act.pipeline.run_config import RunConfig

    given, speed = arguments.input, arguments.speed
    answer = AnswerConfig(metric=arguments.gripper_and_arm.metric, sensor=given.sensor)
    config = RunConfig(answer=answer, allow_outside=given.allow_outside, device=speed.device)
    config = replace(config, max_side=speed.max_side or config.max_side)
    return build(given.source, config=config, show=True)


def _connect(
    arguments: Arguments,
    viewer: Viewer,
    session: Session,
    end_effector: str,
    known: Path | None,
    saved: Path,
    make_questions: QuestionFactory | None,
) -> None:
    """Connect the page to the session, for queries.

    Args:
        arguments: Options of the command.
        viewer: The page.
        session: The scene.
        end_effector: Name or path of the gripper or the hand to plan for at first.
        known: File of the answers so far, None without any.
        saved: File to which answers are saved as soon as there are new ones.
        make_questions: Opens the model, None without one.
    """
    from point2act.pipeline.interactive import InteractiveSession
    from point2act.pipeline.planning import planned_for
    from point2act.pipeline.query import AnswerConfig

    robot = arguments.gripper_and_arm
    config = AnswerConfig(arm=robot.arm, metric=robot.metric, sensor=arguments.input.sensor)
    config = planned_for(config, end_effector, load_end_effector(end_effector))
    interactive = InteractiveSession(
        session,
        PointSet((), ()) if known is None else read_points(known, session.capture),
        keep=saved,
        config=config,
        make_questions=make_questions,
        adaptive=arguments.model.adaptive(),
    )

    def command() -> str:
        return _command(arguments, interactive.config, saved if saved.is_file() else known)

    viewer.start(interactive, command=command)


def _command(arguments: Arguments, config: AnswerConfig, points: Path | None) -> str:
    """Return the command that plans the grasps on the page."""
    source, robot, max_side = arguments.input.source, arguments.gripper_and_arm, arguments.speed.max_side
    if is_run(source):
        path = source / NAME if source.is_dir() else source
        words = ["point2act", "grasp", "--load-config", str(path), "--output", "grasps.json"]
    else:
        words = ["point2act", "run", str(source), "--output", "out"]
    words += [] if points is None else ["--points", str(points)]
    words += ["--gripper", config.gripper] if config.hand is None else ["--hand", config.hand]
    # No arm is modelled with a hand.
    words += ["--arm", robot.arm] if robot.arm is not None and config.hand is None else []
    words += ["--metric"] if robot.metric else []
    words += [] if arguments.input.sensor == "auto" else ["--sensor", arguments.input.sensor]
    words += [] if max_side is None else ["--max-side", str(max_side)]
    return shlex.join(words)
