"""point2act: find and grasp the right thing from a sentence.

Posed images and the points that a vision-language model names in each of them become relevancy on 3D
Gaussians, a region to act on, and 6-DoF grasps. Importing this package imports no heavy library; using a
name does.
"""

from typing import TYPE_CHECKING

import lazy_loader

from point2act.core.errors import Point2ActError as Point2ActError
from point2act.core.threads import configure_threads

if TYPE_CHECKING:
    from point2act.calibration.poses import refine_poses as refine_poses
    from point2act.core.types import Camera as Camera
    from point2act.core.types import Capture as Capture
    from point2act.core.types import GaussianScene as GaussianScene
    from point2act.core.types import Grasp as Grasp
    from point2act.core.types import Query as Query
    from point2act.core.types import QueryResult as QueryResult
    from point2act.core.types import Region as Region
    from point2act.core.types import View as View
    from point2act.data.capture import CaptureWriter as CaptureWriter
    from point2act.data.capture import read_capture as read_capture
    from point2act.data.points import read_points as read_points
    from point2act.data.points import write_points as write_points
    from point2act.data.scene_ply import read_splat_ply as read_splat_ply
    from point2act.grasping.antipodal.plan import plan_grasps as plan_grasps
    from point2act.grasping.grasps_json import read_grasps as read_grasps
    from point2act.grasping.grasps_json import write_grasps as write_grasps
    from point2act.grasping.grippers import Gripper as Gripper
    from point2act.grasping.grippers import load_gripper as load_gripper
    from point2act.localization.relevancy import lift as lift
    from point2act.pipeline.grasp_image import ImageConfig as ImageConfig
    from point2act.pipeline.grasp_image import ImageResult as ImageResult
    from point2act.pipeline.grasp_image import grasp_image as grasp_image
    from point2act.pipeline.planning import Planner as Planner
    from point2act.pipeline.planning import SurfaceCloud as SurfaceCloud
    from point2act.pipeline.query import AnswerConfig as AnswerConfig
    from point2act.pipeline.question_rounds import AdaptiveConfig as AdaptiveConfig
    from point2act.pipeline.run import build as build
    from point2act.pipeline.run import follow as follow
    from point2act.pipeline.run import run as run
    from point2act.pipeline.session import Session as Session
    from point2act.pipeline.session import SessionResult as SessionResult
    from point2act.pipeline.session import open_run as open_run
    from point2act.pipeline.steps import RunConfig as RunConfig
    from point2act.pipeline.steps import RunResult as RunResult
    from point2act.splatting.render import render as render
    from point2act.vlm.clients.factory import ClientConfig as ClientConfig
    from point2act.vlm.parsers import parse_reply as parse_reply
    from point2act.vlm.pointing.ask import Questions as Questions
    from point2act.vlm.pointing.point import FunctionPointer as FunctionPointer
    from point2act.vlm.pointing.point import Pointer as Pointer
    from point2act.vlm.pointing.questions import AskConfig as AskConfig
    from point2act.vlm.pointing.questions import ask as ask
    from point2act.vlm.pointing.questions import open_questions as open_questions
    from point2act.vlm.pointing.questions import open_task as open_task

# First, because torch reads the number of threads when it is imported.
configure_threads()

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "calibration.poses": ["refine_poses"],
        "core.types": [
            "Camera",
            "Capture",
            "GaussianScene",
            "Grasp",
            "Query",
            "QueryResult",
            "Region",
            "View",
        ],
        "data.capture": ["CaptureWriter", "read_capture"],
        "data.points": ["read_points", "write_points"],
        "data.scene_ply": ["read_splat_ply"],
        "grasping.antipodal.plan": ["plan_grasps"],
        "grasping.grasps_json": ["read_grasps", "write_grasps"],
        "grasping.grippers": ["Gripper", "load_gripper"],
        "localization.relevancy": ["lift"],
        "pipeline.grasp_image": ["ImageConfig", "ImageResult", "grasp_image"],
        "pipeline.planning": ["Planner", "SurfaceCloud"],
        "pipeline.query": ["AnswerConfig"],
        "pipeline.question_rounds": ["AdaptiveConfig"],
        "pipeline.run": ["build", "follow", "run"],
        "pipeline.session": ["Session", "SessionResult", "open_run"],
        "pipeline.steps": ["RunConfig", "RunResult"],
        "splatting.render": ["render"],
        "vlm.clients.factory": ["ClientConfig"],
        "vlm.parsers": ["parse_reply"],
        "vlm.pointing.ask": ["Questions"],
        "vlm.pointing.point": ["FunctionPointer", "Pointer"],
        "vlm.pointing.questions": ["AskConfig", "ask", "open_questions", "open_task"],
    },
)
__all__ += ["Point2ActError"]
