"""``point2act view OUT``: the scene in a browser, to ask, point, understand and take away."""

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
from point2act.core import config_files
from point2act.core.progress import Stages
from point2act.core.types import Frame, GaussianScene, PointSet
from point2act.data.points import read_points
from point2act.data.run_manifest import NAME
from point2act.grasping.grippers import load_gripper
from point2act.visualization.viewer import Viewer, ViewerConfig
from point2act.vlm.clients.factory import open_model
from point2act.vlm.pointing.questions import AskConfig, questions_for

if TYPE_CHECKING:
    from point2act.pipeline.interactive import QuestionFactory
    from point2act.pipeline.session import Session
else:
    # They bring torch, seconds before anything is to be seen.
    QuestionFactory = Session = Any


_COMING, _DRAWING = 2.0, 3.0
"""How long a browser has the machine for itself, seconds: until it opens the page, and then.
Measured: one that draws in software on two cores takes 1, and then 2 to 3."""


@dataclass(frozen=True)
class Arguments:
    """Look at a scene in a browser: ask, point at things in the photographs, see the grasps, take them away.

    What may be opened:
      point2act view out/                     what point2act run wrote
      point2act view outputs/…/config.yml     what ns-train point2act wrote
      point2act view capture/                 a capture, whose scene is made first
      point2act view out/ --model qwen3_vl_8b --server http://localhost:8000/v1

    Without a model you point yourself: open a photograph and click. What you say is kept in points.json,
    beside run.json or in the capture. Ctrl-C ends it.
    """

    source: tyro.conf.Positional[Path]
    """A run's folder, run.json or config.yml; or a capture's folder."""
    points: Path | None = None
    """Other answers than the points.json of the run or, where it has none, of the capture."""
    gripper: str = "panda"
    """A shipped gripper's name, or the path of a gripper's .toml file; others are in the page's menu."""
    arm: str | None = None
    """A shipped arm's name, or the path of an arm's .toml file: keep the grasps that it reaches from where
    the capture's T_base_world puts it."""
    metric: bool = False
    """Trust the poses to be in metres although the capture has no depth."""
    ask: Annotated[AskConfig, tyro.conf.arg(name="")] = field(default_factory=AskConfig)
    """Who is asked, and how."""
    viewer: Annotated[ViewerConfig, tyro.conf.arg(name="")] = field(default_factory=ViewerConfig)
    """Where the page is."""
    browser: bool = True
    """Open a browser, where this machine has a screen."""
    allow_outside: bool = False
    """Read files that the capture names outside its folder, also by way of symbolic links."""
    max_side: int | None = None
    """Images are reduced until their longer side is at most this many pixels; by default as many as the
    run had, and 480 for a capture."""
    device: str | None = None
    """cpu or cuda; by default what is there."""


def main(argv: Sequence[str]) -> None:
    """Parse and run."""
    arguments = tyro.cli(Arguments, args=argv, prog="point2act view")
    load_gripper(arguments.gripper)
    make_questions = _question_factory(arguments.ask)
    if is_run(arguments.source):
        opened = open_scene(arguments.source)
        viewer = _show(arguments, opened.scene, opened.frames, opened.capture.folder.name)
        # What comes now keeps a small machine busy for seconds, and the browser needs it too.
        viewer.greet(coming=_COMING, drawing=_DRAWING)
        with Stages(show=True).stage("read the images") as tick:
            session = opened.session(max_side=arguments.max_side, device=arguments.device, progress=tick)
        folder, known = opened.folder, arguments.points or opened.points
    else:
        session = _made(arguments)
        poses = [view.T_world_cam for view in session.views]
        pairs = zip(session.frames, poses, strict=True)
        frames = [replace(frame, T_world_cam=T_world_cam) for frame, T_world_cam in pairs]
        viewer = _show(arguments, session.scene, frames, session.capture.folder.name)
        folder = session.capture.folder
        known = arguments.points or (folder / "points.json" if (folder / "points.json").is_file() else None)
    points = PointSet((), ()) if known is None else read_points(known, session.capture)
    keep = arguments.points or folder / "points.json"
    _begin(arguments, viewer, session, points, keep, make_questions)
    try:
        threading.Event().wait()
    finally:
        viewer.stop()


def _question_factory(config: AskConfig) -> QuestionFactory | None:
    """Who makes questions of queries; None where no model is named.

    Nothing is asked or loaded yet, but a wrong name or a missing key is better known now. The model is
    opened once, for all questions to come.
    """
    if config.client.model is None:
        return None
    opened = open_model(config.client)
    return lambda queries: questions_for(opened, queries, config=config)


def _show(arguments: Arguments, scene: GaussianScene, frames: Sequence[Frame], title: str) -> Viewer:
    shipped = config_files.available("grippers")
    own = [] if arguments.gripper in shipped else [arguments.gripper]
    viewer = Viewer(
        scene,
        frames,
        title=title,
        grippers=(*own, *shipped),
        asks=arguments.ask.client.model is not None,
        config=arguments.viewer,
    )
    print(f"page: {viewer.url}", flush=True)
    if arguments.browser and _has_screen():
        webbrowser.open(viewer.url)
    return viewer


def _has_screen() -> bool:
    """Whether a browser would be seen; without a screen one may take over the terminal instead."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def _made(arguments: Arguments) -> Session:
    """A capture's scene, made now."""
    from point2act.pipeline.query import AnswerConfig
    from point2act.pipeline.run import build
    from point2act.pipeline.steps import RunConfig

    answer = AnswerConfig(metric=arguments.metric)
    config = RunConfig(answer=answer, allow_outside=arguments.allow_outside, device=arguments.device)
    if arguments.max_side is not None:
        config = replace(config, max_side=arguments.max_side)
    return build(arguments.source, config=config, show=True)


def _begin(
    arguments: Arguments,
    viewer: Viewer,
    session: Session,
    points: PointSet,
    keep: Path,
    make_questions: QuestionFactory | None,
) -> None:
    """Let people ask."""
    from point2act.pipeline.interactive import InteractiveSession
    from point2act.pipeline.query import AnswerConfig

    config = AnswerConfig(gripper=arguments.gripper, arm=arguments.arm, metric=arguments.metric)
    interactive = InteractiveSession(session, points, keep=keep, config=config, make_questions=make_questions)
    viewer.begin(interactive, command=lambda: _command(arguments, interactive.config.gripper, keep))


def _command(arguments: Arguments, gripper: str, points: Path) -> str:
    """What to type for the grasps that are on the page."""
    if is_run(arguments.source):
        path = arguments.source / NAME if arguments.source.is_dir() else arguments.source
        words = ["point2act", "grasp", "--load-config", str(path), "--output", "grasps.json"]
    else:
        words = ["point2act", "run", str(arguments.source), "--output", "out"]
    words += ["--points", str(points), "--gripper", gripper]
    words += [] if arguments.arm is None else ["--arm", arguments.arm]
    words += ["--metric"] if arguments.metric else []
    words += [] if arguments.max_side is None else ["--max-side", str(arguments.max_side)]
    return shlex.join(words)
