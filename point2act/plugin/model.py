"""nerfstudio model: Gaussians rendered by point2act, with the relevancy of every query beside them.

A thin adapter: initialisation, rendering, losses and relevancy are in other packages. Everything here is in
nerfstudio's frame and unit.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from nerfstudio.cameras.camera_optimizers import CameraOptimizer, CameraOptimizerConfig
from nerfstudio.cameras.cameras import Cameras
from nerfstudio.engine.callbacks import TrainingCallback, TrainingCallbackAttributes
from nerfstudio.models.base_model import ModelConfig
from nerfstudio.models.splatfacto import SplatfactoModel
from nerfstudio.utils.colors import get_color
from torch import Tensor

from point2act.core.errors import RunError
from point2act.core.progress import Stages
from point2act.core.types import PointSet, View
from point2act.data.points import read_points
from point2act.plugin.bridge import camera_of, invert_pose, opencv_pose
from point2act.plugin.datamanager import METADATA_KEY, VIEWS_KEY, CaptureViews, TrainingData, counted
from point2act.plugin.evaluation import image_metrics
from point2act.plugin.feature_view import FeatureView
from point2act.plugin.finite import FiniteSteps
from point2act.plugin.relevancy_view import RelevancyView
from point2act.plugin.run import Saved
from point2act.plugin.scene import empty_scene, find_relevancy, posed_views, starting_scene
from point2act.splatting.densify import Densifier, DensifyConfig
from point2act.splatting.gaussians import SH_DC, activated, colors, to_parameters, to_scene
from point2act.splatting.initialization import StartConfig
from point2act.splatting.losses import depth_loss, photometric, psnr
from point2act.splatting.render import Rendered, render

Outputs = dict[str, Any]
# viser's default background, which nerfstudio shows behind splats.
_VIEWER_BACKGROUND = (0.1490, 0.1647, 0.2157)


@dataclass
class Point2ActModelConfig(ModelConfig):
    """Initialisation, fit and relevancy of the Gaussians."""

    _target: type = field(default_factory=lambda: Point2ActModel)
    start: StartConfig = field(default_factory=StartConfig)
    sh_degree: int = 3
    """Degree of the spherical harmonics: 0 for matte scenes, up to 3 for shiny ones."""
    depth_weight: float = 1.5
    """Weight of the relative depth error beside the colour error, for views with depth."""
    densify: bool | None = None
    """Split, duplicate and prune Gaussians; by default only without depth to initialise from."""
    densification: DensifyConfig = field(default_factory=DensifyConfig)
    relevancy_every: int = 500
    """Number of steps between two updates of the relevancy, beside those at the start and the end."""
    background_color: Literal["random", "black", "white"] = "random"
    """Background colour in training; random keeps Gaussians from learning the background."""
    features: Path | None = None
    """File of lifted features, which the output ``features`` shows; by default features.npz in the capture,
    if there is one."""
    camera_optimizer: CameraOptimizerConfig = field(default_factory=CameraOptimizerConfig)
    """Refinement of the poses in training; off by default."""


class Point2ActModel(SplatfactoModel):
    """Splatfacto's parameters and callbacks with point2act's renderer, losses and relevancy."""

    config: Point2ActModelConfig  # type: ignore[assignment]

    def populate_modules(self) -> None:
        """Initialise the Gaussians; without training data there are none until a checkpoint is loaded."""
        self._data: TrainingData | None = self.kwargs["metadata"].get(METADATA_KEY)
        self._views: CaptureViews | None = self.kwargs["metadata"].get(VIEWS_KEY)
        self._points = None if self._data is None else self._data.points
        scene, self._saved, self._stages = empty_scene(), Saved.empty(), Stages(show=False)
        self._started = time.perf_counter()
        if self._data is not None:
            with self._stages.stage("initialise the Gaussians"):
                initial = starting_scene(self._data, self.config.start)
            scene = self._data.S_nerf_world.move_scene(initial)
            self._saved = Saved.at_start(
                self._data.views.capture.folder,
                self._data.S_nerf_world,
                () if self._points is None else self._points.queries,
            )
        self.gauss_params = torch.nn.ParameterDict(to_parameters(scene, degree=self.config.sh_degree))
        self.register_buffer("relevancy", torch.zeros(len(scene), len(self._saved.queries)))
        self._exchanging = threading.Lock()
        self._features: FeatureView | None = None
        if self._data is not None:
            self._find_features()
        self.relevancy_view = RelevancyView(self.localize_again)
        self.relevancy_view.offer(self._saved.queries)
        self.camera_optimizer: CameraOptimizer = self.config.camera_optimizer.setup(
            num_cameras=self.num_train_data, device="cpu"
        )
        self.background_color = (
            torch.tensor(_VIEWER_BACKGROUND)
            if self.config.background_color == "random"
            else get_color(self.config.background_color)
        )
        self.step, self.crop_box, self._densifier, self._steps = 0, None, None, None

    def _find_features(self) -> None:
        """Read the features of the capture, if there are any."""
        saved = self._saved
        self._features = FeatureView.find(self.config.features, saved.capture, saved.S_nerf_world)

    # ── checkpoint ─────────────────────────────────────────────────────────────────────────────
    def get_extra_state(self) -> dict[str, Any]:
        """Return what a checkpoint holds beside tensors."""
        saved = replace(self._saved, timings=self._timings())
        if self._views is None:
            return saved.to_dict()
        S_world_nerf, views = saved.S_nerf_world.inverse(), self._posed_views()
        refined = self._views.poses_changed or self.config.camera_optimizer.mode != "off"
        poses = {view.name: S_world_nerf.move_pose(view.T_world_cam) for view in reversed(views)}
        return replace(
            saved,
            views=tuple(poses) if self._views.selected else None,
            poses=poses if refined else None,
        ).to_dict()

    def _timings(self) -> dict[str, float]:
        """Return seconds per stage so far; everything but initialising and localizing is fitting."""
        if self._data is None:
            return dict(self._saved.timings)
        other = self._stages.seconds
        return {**other, "fit the Gaussians": time.perf_counter() - self._started - sum(other.values())}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore ``get_extra_state``; a resumed training has its own capture and queries."""
        if self._data is None:
            self._saved = Saved.from_dict(state)
            self._find_features()
            self.relevancy_view.offer(self._saved.queries)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Save relevancies and their queries while no other thread replaces them.

        Training saves without the lock that the viewer's controls hold.
        """
        with self._exchanging:
            super()._save_to_state_dict(destination, prefix, keep_vars)

    def load_state_dict(self, dict: Any, **kwargs: Any) -> Any:
        """Load a checkpoint's Gaussians, of any number.

        The parameters stay the objects that the optimizers hold; splatfacto replaces them, so that a resumed
        training would train nothing.
        """
        for name, parameter in self.gauss_params.items():
            parameter.data = torch.zeros_like(dict[f"gauss_params.{name}"], device=self.device)
        self.relevancy = torch.zeros_like(dict["relevancy"], device=self.device)
        # Checkpoints of earlier versions hold one tensor more.
        known = {name: value for name, value in dict.items() if name != "evidence"}
        loaded = super(SplatfactoModel, self).load_state_dict(known, **kwargs)
        if self._data is not None:
            self._localize(self._points)
        return loaded

    # ── colours as spherical harmonics at every degree (splatfacto uses logits at degree 0) ────
    @property
    def colors(self) -> Tensor:
        """Colour of every Gaussian without its dependence on direction, about in [0, 1]."""
        return 0.5 + SH_DC * self.features_dc

    @property
    def shs_0(self) -> Tensor:
        """Constant coefficients of the spherical harmonics."""
        return self.features_dc

    # ── training ───────────────────────────────────────────────────────────────────────────────
    def get_param_groups(self) -> dict[str, list[torch.nn.Parameter]]:
        """Return one group per parameter of the Gaussians, and one of the poses if they are refined."""
        groups = self.get_gaussian_param_groups()
        self.camera_optimizer.get_param_groups(param_groups=groups)
        return groups

    def get_training_callbacks(
        self, training_callback_attributes: TrainingCallbackAttributes
    ) -> list[TrainingCallback]:
        """Return callbacks that check each step before it is taken, and densify and localize after it."""
        trainer, optimizers = training_callback_attributes.trainer, training_callback_attributes.optimizers
        assert trainer is not None
        assert optimizers is not None
        assert self._data is not None
        self._last_step = trainer._start_step + trainer.config.max_num_iterations - 1
        trained = self._data.views.train
        self._steps = FiniteSteps(optimizers.optimizers, [view.name for view in trained])
        has_depth = any(view.depth is not None for view in trained)
        if self.config.densify or (self.config.densify is None and not has_depth):
            # nerfstudio scales the cameras into [-1, 1]: the scene's size is 1.
            self._densifier = Densifier(
                self.config.densification, self.gauss_params, optimizers.optimizers, scene_scale=1.0
            )
        return super().get_training_callbacks(training_callback_attributes)

    def step_post_backward(self, step: int) -> None:
        """Densify and localize if they are due."""
        taken = self._steps is None or self._steps.end()
        if self._densifier is not None and taken:
            carried = self._densifier.step(step, self.relevancy)
            assert carried is not None
            self.relevancy = carried
        if self._steps is not None and step == self._last_step:
            self._steps.log()
        due = step % self.config.relevancy_every == 0 or step == self._last_step
        if due or len(self.relevancy) != self.num_points:
            self._localize(self._points)

    def localize_again(self) -> str:
        """Read the points file again, localize its queries, and return a message about it.

        Training continues with these points; a finished run on disk does not change. This must not be called
        during a training step or a rendering: nerfstudio's viewer holds its lock meanwhile.

        Raises:
            Point2ActError: The points cannot be used. Nothing changes.
        """
        if self._views is None:
            raise RunError("No images are loaded here that the points refer to: open the run with ns-viewer")
        points = read_points(self._views.points_path, self._views.capture)
        self._localize(points)
        return counted(points)

    @torch.no_grad()
    def _localize(self, points: PointSet | None) -> None:
        """Find the relevancy of the current Gaussians."""
        assert self._views is not None
        with self._stages.stage("localize the queries"):
            found = find_relevancy(
                points,
                self._views.capture,
                to_scene(dict(self.gauss_params.items())),
                self._posed_views(),
                self.device,
            )
        values = torch.tensor(found.values, dtype=torch.float32, device=self.device)
        with self._exchanging:
            self.relevancy, self._points = values, points
            self._saved = replace(self._saved, queries=found.queries)
        self.relevancy_view.offer(found.queries)

    def _posed_views(self) -> list[View]:
        """Return all views in nerfstudio's frame, the training views at their refined poses."""
        assert self._views is not None
        # The run's frame: nerfstudio would choose another one today if images have been added since.
        S_nerf_world = self._saved.S_nerf_world
        if self.config.camera_optimizer.mode == "off":
            return posed_views(self._views, S_nerf_world)
        shifts = self.camera_optimizer.get_correction_matrices().detach().cpu().numpy()
        return posed_views(self._views, S_nerf_world, shifts)

    def get_metrics_dict(self, outputs: Outputs, batch: dict) -> dict[str, Any]:
        """Return the PSNR of a batch's image and the number of Gaussians."""
        metrics = {"psnr": psnr(outputs["rgb"], self._truth(batch), self._target(batch, "mask"))}
        self.camera_optimizer.get_metrics_dict(metrics)
        return metrics | {"gaussian_count": self.num_points}

    def get_loss_dict(self, outputs: Outputs, batch: dict, metrics_dict: Any = None) -> dict[str, Tensor]:
        """Return colour error, relative depth error for images with depth, and the penalty on poses."""
        mask = self._target(batch, "mask")
        losses = {"rgb": photometric(outputs["rgb"], self._truth(batch), mask)}
        depth = self._target(batch, "depth_image")
        if depth is not None:
            alpha = outputs["accumulation"][..., 0]
            error = depth_loss(outputs["depth"][..., 0], depth, alpha, mask)
            losses["depth"] = self.config.depth_weight * error
        if self.training:
            self.camera_optimizer.get_loss_dict(losses)
            if self._steps is not None:
                self._steps.start(batch["image_idx"], torch.stack(list(losses.values())).sum())
        return losses

    def _target(self, batch: dict, name: str) -> Tensor | None:
        """Return a batch's mask or depth image (h, w), if there is one."""
        return batch[name][..., 0].to(self.device) if name in batch else None

    def _truth(self, batch: dict) -> Float[Tensor, "h w 3"]:
        """Return a batch's image, colours in [0, 1]."""
        image = batch["image"].to(self.device)
        return image.float() / 255 if image.dtype == torch.uint8 else image

    # ── rendering ────────────────────────────────────────────────────────────────────────────────
    def get_outputs(self, camera: Cameras) -> Outputs:
        """Render one camera: rgb, depth, accumulation and, except in training, relevancies and features.

        ``relevancy_<name>`` are values, ``relevancy`` shows the chosen query in colours, ``features`` the
        principal components of lifted features.
        """
        if not self.training:
            return self._draw(camera, camera.camera_to_worlds[0])
        refined = self.camera_optimizer.apply_to_camera(camera)
        return self._draw(camera, refined[0])

    def _draw(self, camera: Cameras, camera_to_world: Float[Tensor, "3 4"]) -> Outputs:
        parameters, shown = self._cropped()
        pose = opencv_pose(camera_to_world)
        features = colors(parameters, pose, degree=self.config.sh_degree)
        if not self.training:
            features = torch.cat([features, shown], dim=1)
        rendered = render(*activated(parameters), features, invert_pose(pose), camera_of(camera))
        if self.training and self._densifier is not None:
            self._densifier.watch(rendered)
        return self._outputs(rendered)

    def _cropped(self) -> tuple[dict[str, Tensor], Tensor]:
        """Return the Gaussians inside the viewer's or the camera path's crop box, or all without one.

        With them, what is drawn beside the colours: relevancies and, if there are any, features as colours.
        """
        parameters, shown = dict(self.gauss_params.items()), self.relevancy
        if self.training:
            return parameters, shown
        if self._features is not None:
            shown = torch.cat([shown, self._features.colors(self.means)], dim=1)
        if self.crop_box is None:
            return parameters, shown
        inside = self.crop_box.within(self.means).flatten()
        return {name: tensor[inside] for name, tensor in parameters.items()}, shown[inside]

    def _outputs(self, rendered: Rendered) -> Outputs:
        """Return nerfstudio's dictionary of (h, w, c) images."""
        alpha, depth = rendered.alpha[..., None], rendered.depth[..., None]
        behind = (1 - alpha) * self._get_background_color()
        if not self.training:
            # The viewer hides what lies behind the depth image: empty pixels must hide nothing.
            depth = torch.where(alpha > 0, depth, depth.max())
        outputs = {
            "rgb": (rendered.features[..., :3] + behind).clamp(0, 1),
            "depth": depth,
            "accumulation": alpha,
        }
        if not self.training and self._saved.queries:
            outputs |= self.relevancy_view.images(rendered.features[..., 3:], alpha, outputs["rgb"])
        if not self.training and self._features is not None:
            outputs["features"] = (rendered.features[..., -3:] + behind).clamp(0, 1)
        return outputs

    def get_image_metrics_and_images(
        self, outputs: Outputs, batch: dict
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """Return metrics of a held-out image, and the image beside its rendering."""
        truth = self._truth(batch)
        metrics = image_metrics(
            outputs, truth, mask=self._target(batch, "mask"), depth=self._target(batch, "depth_image")
        )
        return metrics, {"img": torch.cat([truth, outputs["rgb"]], dim=1)}
