"""point2act: find and grasp the right thing from a sentence.

Posed images and the points that a vision-language model names in each of them become relevancy on 3D
Gaussians, a region to act on, and 6-DoF grasps. Importing this package imports no heavy library; using a
name does.
"""

import ast
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import lazy_loader

from point2act.core.threads import configure_threads

# First, because torch reads the number of threads when it is imported.
configure_threads()

if TYPE_CHECKING:
    from .calibration.poses import refine_poses as refine_poses
    from .core.errors import Point2ActError as Point2ActError
    from .core.types import Camera as Camera
    from .core.types import Capture as Capture
    from .core.types import GaussianScene as GaussianScene
    from .core.types import Grasp as Grasp
    from .core.types import Query as Query
    from .core.types import QueryResult as QueryResult
    from .core.types import Region as Region
    from .core.types import View as View
    from .data.capture import CaptureWriter as CaptureWriter
    from .data.capture import read_capture as read_capture
    from .data.points import read_points as read_points
    from .data.points import write_points as write_points
    from .data.scene_ply import read_splat_ply as read_splat_ply
    from .grasping.antipodal.plan import plan_grasps as plan_grasps
    from .grasping.grasps_json import read_grasps as read_grasps
    from .grasping.grasps_json import write_grasps as write_grasps
    from .grasping.grippers import Gripper as Gripper
    from .grasping.grippers import load_gripper as load_gripper
    from .grasping.hands.hand import Hand as Hand
    from .grasping.hands.load import load_hand as load_hand
    from .grasping.hands.plan import plan_hand_grasps as plan_hand_grasps
    from .grasping.hands.task import HandConfig as HandConfig
    from .localization.features import features_at as features_at
    from .localization.features import lift_features as lift_features
    from .localization.relevancy import lift as lift
    from .pipeline.finished_run import open_run as open_run
    from .pipeline.fused_surface import SurfaceCloud as SurfaceCloud
    from .pipeline.grasp_image import ImageConfig as ImageConfig
    from .pipeline.grasp_image import ImageResult as ImageResult
    from .pipeline.grasp_image import grasp_image as grasp_image
    from .pipeline.live_session import LiveSession as LiveSession
    from .pipeline.planning import Planner as Planner
    from .pipeline.query import AnswerConfig as AnswerConfig
    from .pipeline.question_rounds import AdaptiveConfig as AdaptiveConfig
    from .pipeline.run import build as build
    from .pipeline.run import follow as follow
    from .pipeline.run import run as run
    from .pipeline.run_config import RunConfig as RunConfig
    from .pipeline.run_config import RunResult as RunResult
    from .pipeline.session import Session as Session
    from .pipeline.session_result import SessionResult as SessionResult
    from .splatting.render import render as render
    from .vlm.clients.factory import ClientConfig as ClientConfig
    from .vlm.parsers import parse_reply as parse_reply
    from .vlm.pointing.ask import Questions as Questions
    from .vlm.pointing.point import FunctionPointer as FunctionPointer
    from .vlm.pointing.point import Pointer as Pointer
    from .vlm.pointing.questions import AskConfig as AskConfig
    from .vlm.pointing.questions import ask as ask
    from .vlm.pointing.questions import open_questions as open_questions
    from .vlm.pointing.questions import open_task as open_task
    from .vlm.segmenters.factory import SegmenterConfig as SegmenterConfig
    from .vlm.segmenters.factory import open_segmenter as open_segmenter
    from .vlm.segmenters.segmenter import Segmenter as Segmenter
else:
    # The imports above, done when a name is first used.
    _names = defaultdict(list)
    for _node in ast.walk(ast.parse(Path(__file__).read_text(encoding="utf-8"))):
        if isinstance(_node, ast.ImportFrom) and _node.level:
            _names[_node.module] += [alias.name for alias in _node.names]
    __getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs=_names)
