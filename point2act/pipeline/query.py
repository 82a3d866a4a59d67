"""One query about a scene: ``localize`` finds the relevancy of every Gaussian and the region that it means.

Both come from one posterior over the scene's parts: the relevancy is its marginal, the region its mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from point2act.core.types import (
    DepthImages,
    GaussianScene,
    NoAnswer,
    Query,
    Region,
    View,
    ViewAnswers,
)
from point2act.grasping.antipodal.evaluation import GraspConfig
from point2act.grasping.depth_noise import DepthNoise, Sensor
from point2act.grasping.hands.task import HandConfig
from point2act.grasping.placement import PlacementConfig
from point2act.grasping.reachability import ReachConfig
from point2act.grasping.registration import AlignmentConfig
from point2act.grasping.tsdf import SurfaceConfig
from point2act.localization.heatmaps import HeatmapConfig
from point2act.localization.likelihood import LikelihoodConfig, PartPosterior, part_posterior
from point2act.localization.mask_evidence import MaskEvidenceConfig
from point2act.localization.region import (
    SINGLE_ANSWER,
    ClickConfig,
    RegionConfig,
    choose_region,
    rank_places,
)
from point2act.localization.segmentation import Segmentation, SegmentationConfig
from point2act.localization.view_answers import QueryAnswers
from point2act.pipeline.masks import PlaceMasks
from point2act.splatting.rendering import RenderedSurface
from point2act.vlm.segmenters.segmenter import Segmenter

# Fewer views are no consensus: the Gaussians then bend to a printed label's letters.
_CONSENSUS_VIEWS = 3
# Gaussians fainter than this are haze, not surface; pixels that are covered less show no surface.
_SURFACE_OPACITY = 0.1
_SURFACE_ALPHA = 0.5


# ── what a query needs ─────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True)
class AnswerConfig:
    """From a scene and points to grasps."""

    gripper: str = "panda"
    """Name of a shipped gripper, or path of a gripper's .toml file."""
    hand: str | None = None
    """Name of a shipped hand, or path of a hand's .toml file: grasps are planned for it, not for the
    gripper."""
    arm: str | None = None
    """Name of a shipped arm, or path of an arm's .toml file: keeps only grasps that the arm reaches from
    its pose in the capture (T_base_world), each with a joint path."""
    metric: bool = False
    """Trust the poses to be in metres although the capture has no depth."""
    heatmap: HeatmapConfig = field(default_factory=HeatmapConfig)
    segmentation: SegmentationConfig = field(default_factory=SegmentationConfig)
    evidence: LikelihoodConfig = field(default_factory=LikelihoodConfig)
    region: RegionConfig = field(default_factory=RegionConfig)
    click: ClickConfig = field(default_factory=ClickConfig)
    """Likelihood and region of queries that a person has pointed at."""
    alone: ClickConfig = field(default_factory=lambda: SINGLE_ANSWER)
    """The same for queries with one answer in all."""
    mask_evidence: MaskEvidenceConfig = field(default_factory=MaskEvidenceConfig)
    """Views that are segmented with --masks, and how masks weigh."""
    # 1 cm at half a metre: ten times the noise of a good depth camera.
    depth_agreement: float = 0.02
    """Measured depth is used where it differs from the Gaussians' depth by at most this fraction of it."""
    sensor: Sensor = "auto"
    """Kind of depth camera: its published noise is the prior of what the images show."""
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    surface: SurfaceConfig = field(default_factory=SurfaceConfig)
    grasp: GraspConfig = field(default_factory=GraspConfig)
    hands: HandConfig = field(default_factory=HandConfig)
    """Grasps of hands."""
    reach: ReachConfig = field(default_factory=ReachConfig)
    """Inverse kinematics and joint paths of the arm."""
    place: PlacementConfig = field(default_factory=PlacementConfig)
    seed: int = 0
    """Seed of all random numbers; the same seed gives the same grasps."""

    @property
    def end_effector(self) -> str:
        """Name or path of the hand or, without one, of the gripper that grasps are planned for."""
        return self.hand or self.gripper

    @property
    def approach(self) -> float:
        """Length of the straight approach that is checked, metres."""
        return self.grasp.poses.approach if self.hand is None else self.hands.checks.approach.length


@dataclass(frozen=True, eq=False)
class QueryContext:
    """One query and everything known about it before it is localized."""

    query: Query
    views: Sequence[View]
    surfaces: Sequence[RenderedSurface]
    """The scene's depth and coverage, rendered from every view."""
    depths: DepthImages
    """Depth to plan grasps on, for every view: ``confirmed_depths``."""
    scene: GaussianScene
    segmentation: Segmentation
    answers: QueryAnswers
    """The answers that the posterior rests on."""
    pixels: ViewAnswers
    """All points of whole images and crops, as pixels of the views."""
    by_person: bool
    """Whether the answers are a person's and not a model's."""
    full_size: Callable[[View], View]
    """Returns a view with its depth at the size at which it was recorded."""
    noise: DepthNoise | None
    """Noise of measured depth; None without any."""
    metric: bool
    """Whether lengths are metres."""
    base: Float[np.ndarray, "3"] | None
    """Position of the robot's base, world; None if the capture does not give it."""
    segmenter: Segmenter | None = None
    """Decides where the likeliest place ends; None for its parts alone."""
    device: str = "cpu"
    """Device on which grasps of hands are optimised."""

    @property
    def solid(self) -> Bool[np.ndarray, " n"]:
        """Whether every Gaussian makes up a surface."""
        return self.scene.opacities > _SURFACE_OPACITY

    @property
    def measured(self) -> list[View]:
        """The views with measured depth."""
        return [view for view in self.views if view.depth is not None]


@dataclass(frozen=True, eq=False)
class Localization:
    """A query, the relevancy of the scene for it and the region that it means."""

    context: QueryContext
    posterior: PartPosterior
    """Probability of every part, and of absence."""
    relevancy: Float[np.ndarray, " n"]
    """Probability of every Gaussian to belong to what the query means."""
    region: Region | NoAnswer
    """The region, or why there is none."""
    rivals: tuple[Region, ...]
    """Other regions that the query may mean, likeliest first."""
    extent: Bool[np.ndarray, " n"]
    """Which Gaussians the likeliest place is made of; none without a place."""
    instances: tuple[Localization, ...] = ()
    """Every instance on its own, of a query that asks for all; see ``localize_all``."""

    @property
    def query(self) -> Query:
        """The query itself."""
        return self.context.query

    @property
    def surface(self) -> tuple[Float[np.ndarray, "m 3"], Float[np.ndarray, " m"]]:
        """Centres and relevancy of the Gaussians that make up surfaces."""
        return self.context.scene.means[self.context.solid], self.relevancy[self.context.solid]


# ── localize ────────────────────────────────────────────────────────────────────────
def localize(context: QueryContext, *, config: AnswerConfig) -> Localization:
    """Find the relevancy and the region of a query, or why there is no region, and its rivals.

    Every answered pixel is a ray. The likelihood of the rays given each part of the scene, times the part's
    prior, is the part's posterior. The relevancy of a Gaussian is the posterior probability of all parts that
    contain it; the region lies on the likeliest part.
    """
    parts, visibility = context.segmentation.parts, context.segmentation.visibility
    answers = context.answers
    tangents, pixels = answers.tangents(context.views), answers.by_view(context.views)
    alone = answers.count == 1
    chosen = config.click if context.by_person else config.alone if alone else config
    posterior = part_posterior(parts, visibility, tangents, further=answers.further, config=chosen.evidence)
    places = rank_places(parts, visibility, posterior, context.views, pixels, config=chosen.region)
    relevancy = context.segmentation.relevancy(posterior)
    if context.segmenter is not None and places and any(each is not None and len(each) for each in tangents):
        masks = PlaceMasks(
            context.segmentation,
            context.views,
            context.full_size,
            context.segmenter,
            context.by_person,
            config.mask_evidence,
        )
        places[0], relevancy = masks.refine(
            places[0], posterior, answers.whole, tangents, evidence=chosen.evidence, config=chosen.region
        )
    region, rivals = choose_region(
        places,
        posterior,
        context.views,
        [surface.depth for surface in context.surfaces],
        pixels,
        distance=parts.distance,
        sigma=config.heatmap.sigma,
        config=chosen.region,
    )
    extent = np.zeros(len(parts.points))
    if places:
        extent[places[0].members] = 1.0
    on_extent = context.segmentation.on_gaussians(extent) > 0
    return Localization(context, posterior, relevancy, region, rivals, on_extent)


def confirmed_depths(
    views: Sequence[View], surfaces: Sequence[RenderedSurface], *, agreement: float
) -> list[Float[np.ndarray, "_h _w"]]:
    """Return depth to plan grasps on: measured depth that the Gaussians confirm, else the Gaussians' own.

    The Gaussians are a consensus of all views: a reading that differs from their depth by more than
    ``agreement`` of it is noise, or its view has a wrong pose. One or two views are taken as they are.
    """
    depths = []
    for view, surface in zip(views, surfaces, strict=True):
        solid = np.where(surface.alpha > _SURFACE_ALPHA, surface.depth, 0.0)
        if view.depth is not None:
            confirmed = np.abs(view.depth - solid) < agreement * solid
            confirmed |= (view.depth > 0) & (len(views) < _CONSENSUS_VIEWS)
            solid = np.where(confirmed, view.depth, 0.0)
        depths.append(solid)
    return depths
