"""nerfstudio datamanager of a capture: undistorted views with depth, at refined poses, and the points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
from rich.progress import Progress

from point2act.calibration.poses import refine_poses
from point2act.core.errors import PointsError
from point2act.core.types import Capture, PointSet, View
from point2act.data.points import points_file, read_points
from point2act.data.view_loader import MAX_SIDE, ViewLoader
from point2act.plugin.bridge import Similarity, cameras_of
from point2act.plugin.captures import Cloud, read_source

METADATA_KEY = "point2act"
"""Key of ``TrainingData`` in the training dataset's metadata."""
VIEWS_KEY = "point2act_views"
"""Key of ``CaptureViews`` in the same metadata, in training and when a trained run is opened."""


@dataclass
class Point2ActDataManagerConfig(FullImageDatamanagerConfig):
    """Images, depth and points of a capture."""

    _target: type = field(default_factory=lambda: Point2ActDataManager)
    dataparser: AnnotatedDataParserUnion = field(
        # Every eighth image is held out, so that even five images leave one to evaluate on.
        default_factory=lambda: NerfstudioDataParserConfig(eval_mode="interval", downscale_factor=1)
    )
    points: Path | None = None
    """Recorded answers of a pointing model; by default points.json beside transforms.json."""
    max_side: int = MAX_SIDE
    """Images are reduced until their longer side is at most this many pixels."""
    # The defaults of the class hold for the config.yml of runs from before the fields existed.
    max_views: int | None = None
    """Maximum number of views; of a larger capture, views are selected that cover all viewpoints."""
    refine_poses: bool = False
    """Refine the camera poses on the images before training, for captures in metres."""
    cache_images_type: Literal["uint8", "float32"] = "uint8"


@dataclass(frozen=True, eq=False)
class CaptureViews:
    """The views that points refer to, in training and after it, in the world frame."""

    capture: Capture
    train: tuple[View, ...]
    held_out: tuple[View, ...]
    points_path: Path
    """The points.json to read, which need not exist."""
    selected: bool = False
    """Whether some frames of the capture are left out."""
    poses_changed: bool = False
    """Whether the poses are refined."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The input of a training."""

    views: CaptureViews
    S_nerf_world: Similarity
    points: PointSet | None
    cloud: Cloud | None
    """Points that the dataparser read."""


def counted(points: PointSet) -> str:
    """Describe a set of points in one line."""
    names = ", ".join(query.name for query in points.queries)
    return f"{len(points.answers)} answers to {len(points.queries)} queries: {names}"


class ViewDataset(InputDataset):
    """Loaded views as a nerfstudio dataset, with cameras and depth in nerfstudio's frame."""

    exclude_batch_keys_from_device: ClassVar = [*InputDataset.exclude_batch_keys_from_device, "depth_image"]

    def __init__(self, outputs: DataparserOutputs, views: tuple[View, ...]):
        super().__init__(outputs)
        self.views = views
        if views:
            self.cameras = cameras_of(views)

    def get_numpy_image(self, image_idx: int) -> Any:
        """Return the undistorted image, (h, w, 3) uint8."""
        return self.views[image_idx].rgb

    def get_data(self, image_idx: int, image_type: Literal["uint8", "float32"] = "float32") -> dict:
        """Return the image, and mask and z-depth (h, w, 1), in nerfstudio's unit, if there are any."""
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

        Nothing is loaded if nerfstudio only wants cameras (export, the first half of ns-render).
        """
        outputs = self.train_dataparser_outputs
        if self.test_mode == "inference":
            return InputDataset(outputs)
        held_out = self.dataparser.get_dataparser_outputs(split=self.test_split)
        source = read_source(self.dataparser, (outputs, held_out))
        capture, self._S_nerf_world = source.capture, source.S_nerf_world
        points = self._read_points(capture)
        by_name, changed = self._load(capture, points)
        kept = [[n for n, frame in enumerate(split) if frame.name in by_name] for split in source.splits]
        train, self._held_out = (
            tuple(by_name[split[n].name] for n in numbers)
            for split, numbers in zip(source.splits, kept, strict=True)
        )
        self._held_out_numbers = kept[1]
        dataset = ViewDataset(_subset(outputs, kept[0]), self._moved(train))
        views = CaptureViews(
            capture,
            train,
            self._held_out,
            self.config.points or capture.folder / "points.json",
            selected=len(by_name) < len(capture.frames),
            poses_changed=changed,
        )
        dataset.metadata[VIEWS_KEY] = views
        if self.test_mode == "val":
            dataset.metadata[METADATA_KEY] = TrainingData(views, source.S_nerf_world, points, source.cloud)
        return dataset

    def create_eval_dataset(self) -> InputDataset:
        """Return the held-out views."""
        outputs = self.dataparser.get_dataparser_outputs(split=self.test_split)
        if self.test_mode == "inference":
            return InputDataset(outputs)
        return ViewDataset(_subset(outputs, self._held_out_numbers), self._moved(self._held_out))

    def _moved(self, views: tuple[View, ...]) -> tuple[View, ...]:
        return tuple(self._S_nerf_world.move_view(view) for view in views)

    def _load(self, capture: Capture, points: PointSet | None) -> tuple[dict[str, View], bool]:
        """Select and load views and refine their poses, as ``point2act run`` does.

        All frames of the capture take part, whichever split they are in, so that training and evaluation
        get the same poses.

        Returns:
            The views by name, and whether their poses differ from the capture's.
        """
        config = self.config
        largest = max(max(frame.camera.height, frame.camera.width) for frame in capture.frames)
        # nerfstudio's own scale factor counts as well.
        max_side = min(config.max_side, round(largest * config.camera_res_scale_factor))
        loader = ViewLoader(max_side=max_side, max_views=config.max_views)
        with Progress(transient=True, disable=not CONSOLE.is_terminal) as bars:
            bar = bars.add_task("Loading images")
            used = loader.select(capture, points)
            views = loader.load(used, lambda done, total: bars.update(bar, completed=done, total=total))
        if len(views) < len(capture.frames):
            CONSOLE.print(f"{len(capture.frames)} views: {len(views)} are used, spread over viewpoints")
        changed = False
        if config.refine_poses and capture.metric:
            refined = refine_poses(views)
            views, changed = refined.views, refined.changed
            CONSOLE.print(refined.detail, markup=False)
        return {view.name: view for view in views}, changed

    def _read_points(self, capture: Capture) -> PointSet | None:
        """Read the given points, else those beside the capture; in training, report what was found."""
        path = points_file(self.config.points, capture.folder)
        training = self.test_mode == "val"
        if path is None:
            if training:
                missing = capture.folder / "points.json"
                CONSOLE.print(
                    f"[bold yellow]{missing} does not exist: training geometry alone, no relevancy."
                )
            return None
        try:
            points = read_points(path, capture)
        except PointsError:
            # A finished run is opened whatever has become of its points.
            if training:
                raise
            return None
        if training:
            CONSOLE.print(counted(points))
        return points


def _subset(outputs: DataparserOutputs, numbers: Sequence[int]) -> DataparserOutputs:
    """Return a dataparser's outputs of some of its images."""
    masks = outputs.mask_filenames
    return replace(
        outputs,
        image_filenames=[outputs.image_filenames[n] for n in numbers],
        mask_filenames=None if masks is None else [masks[n] for n in numbers],
        cameras=outputs.cameras[torch.tensor(numbers, dtype=torch.long)],
    )
