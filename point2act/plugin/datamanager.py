"""nerfstudio's datamanager over our captures: undistorted views with depth, and the points."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from nerfstudio.configs.dataparser_configs import AnnotatedDataParserUnion
from nerfstudio.data.datamanagers.full_images_datamanager import (
    FullImageDatamanager,
    FullImageDatamanagerConfig,
)
from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.utils.rich_utils import CONSOLE
from rich.progress import track

from point2act.core.types import Capture, Frame, PointSet, View
from point2act.data.capture import load_view
from point2act.data.points import read_points
from point2act.plugin.bridge import Similarity, cameras_of
from point2act.plugin.captures import Cloud, Source, read_source

METADATA_KEY = "point2act"
"""Under which the model finds ``TrainingData`` in the training dataset's metadata."""
VIEWS_KEY = "point2act_views"
"""Under which it finds ``CaptureViews``, in training and where a trained run is looked at."""


@dataclass
class Point2ActDataManagerConfig(FullImageDatamanagerConfig):
    """Images, depth and points of a capture."""

    _target: type = field(default_factory=lambda: Point2ActDataManager)
    dataparser: AnnotatedDataParserUnion = field(
        # Every eighth image is held out, so that even five images leave one to evaluate on.
        default_factory=lambda: NerfstudioDataParserConfig(eval_mode="interval", downscale_factor=1)
    )
    points: Path | None = None
    """points.json with what a pointing model answered; by default the one beside transforms.json."""
    max_side: int = 480
    """Images are reduced until their longer side is at most this many pixels."""
    cache_images_type: Literal["uint8", "float32"] = "uint8"


@dataclass(frozen=True, eq=False)
class CaptureViews:
    """What points are lifted from, in training and after it. Views and capture are in the world frame."""

    capture: Capture
    train: tuple[View, ...]
    held_out: tuple[View, ...]
    points_path: Path
    """The points.json to read, which may not be there yet."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What training begins with."""

    views: CaptureViews
    S_nerf_world: Similarity
    points: PointSet | None
    cloud: Cloud | None
    """Points that the dataparser itself found."""


def counted(points: PointSet) -> str:
    """A line for people: how many answers, to which queries."""
    names = ", ".join(query.name for query in points.queries)
    return f"{len(points.answers)} answers to {len(points.queries)} queries: {names}"


class ViewDataset(InputDataset):
    """Loaded views as nerfstudio's dataset, cameras and depth in nerfstudio's frame."""

    exclude_batch_keys_from_device: ClassVar = [*InputDataset.exclude_batch_keys_from_device, "depth_image"]

    def __init__(self, outputs: DataparserOutputs, views: tuple[View, ...]):
        super().__init__(outputs)
        self.views = views
        if views:
            self.cameras = cameras_of(views)

    def get_numpy_image(self, image_idx: int) -> Any:
        """The undistorted image, (h, w, 3) uint8."""
        return self.views[image_idx].rgb

    def get_data(self, image_idx: int, image_type: Literal["uint8", "float32"] = "float32") -> dict:
        """Image, and where there are such, mask (h, w, 1) and z-depth (h, w, 1) in nerfstudio's unit."""
        view = self.views[image_idx]
        image = torch.tensor(view.rgb)
        data: dict = {"image_idx": image_idx, "image": image if image_type == "uint8" else image / 255.0}
        if view.mask is not None:
            data["mask"] = torch.tensor(view.mask)[..., None]
        if view.depth is not None:
            data["depth_image"] = torch.tensor(view.depth, dtype=torch.float32)[..., None]
        return data


class Point2ActDataManager(FullImageDatamanager):
    """Full images and cameras of a capture, for training and evaluation."""

    config: Point2ActDataManagerConfig

    def create_train_dataset(self) -> InputDataset:
        """Load every view; the training dataset's metadata carries all that the model starts from.

        Nothing is loaded where nerfstudio only wants cameras (export, the first half of ns-render).
        """
        outputs = self.train_dataparser_outputs
        if self.test_mode == "inference":
            return InputDataset(outputs)
        held_out = self.dataparser.get_dataparser_outputs(split=self.test_split)
        source = read_source(self.dataparser, (outputs, held_out))
        train, self._held_out = (self._load(frames, source) for frames in source.splits)
        self._S_nerf_world = source.S_nerf_world
        dataset = ViewDataset(outputs, self._moved(train))
        points_path = self.config.points or source.capture.folder / "points.json"
        views = CaptureViews(source.capture, train, self._held_out, points_path)
        dataset.metadata[VIEWS_KEY] = views
        if self.test_mode == "val":
            dataset.metadata[METADATA_KEY] = TrainingData(
                views, source.S_nerf_world, self._read_points(views), source.cloud
            )
        return dataset

    def create_eval_dataset(self) -> InputDataset:
        """The held-out views."""
        outputs = self.dataparser.get_dataparser_outputs(split=self.test_split)
        if self.test_mode == "inference":
            return InputDataset(outputs)
        return ViewDataset(outputs, self._moved(self._held_out))

    def _moved(self, views: tuple[View, ...]) -> tuple[View, ...]:
        return tuple(self._S_nerf_world.move_view(view) for view in views)

    def _load(self, frames: tuple[Frame, ...], source: Source) -> tuple[View, ...]:
        return tuple(
            load_view(source.capture, frame, max_side=self._side(frame))
            for frame in track(frames, description="Loading images", transient=True)
        )

    def _side(self, frame: Frame) -> int:
        """The longer side of a loaded image; nerfstudio's own scale factor is honoured as well."""
        side = max(frame.camera.height, frame.camera.width) * self.config.camera_res_scale_factor
        return min(self.config.max_side, round(side))

    def _read_points(self, views: CaptureViews) -> PointSet | None:
        """The points given, or those beside the capture, or None, said aloud."""
        path = views.points_path
        if self.config.points is None and not path.is_file():
            CONSOLE.print(f"[bold yellow]{path} does not exist: training geometry alone, no relevancy.")
            return None
        points = read_points(path, views.capture)
        CONSOLE.print(counted(points))
        return points
