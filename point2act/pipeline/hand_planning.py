"""Planning of a hand's grasps for one localized query."""

from __future__ import annotations

from collections.abc import Sequence

from point2act.core.errors import HandError, SimulationError
from point2act.core.types import Grasp, NoAnswer, ProgressCallback, Region
from point2act.grasping.antipodal.avoid import Avoid
from point2act.grasping.hands.execution import Executor
from point2act.grasping.hands.hand import Hand
from point2act.grasping.hands.plan import plan_hand_grasps
from point2act.grasping.hands.task import HandConfig
from point2act.pipeline.fused_surface import fuse_region
from point2act.pipeline.query import AnswerConfig, Localization


def plan_hand(
    localization: Localization,
    region: Region,
    avoid: Sequence[Avoid],
    hand: Hand,
    config: AnswerConfig,
    progress: ProgressCallback | None,
) -> tuple[tuple[Grasp, ...], NoAnswer | None]:
    """Plan grasps of a hand on the depth around a region.

    Every surface in turn, until one gives grasps: of all views that agree, of some, and with far sides of
    objects presumed.
    """
    context = localization.context
    first: NoAnswer | None = None
    for volume in fuse_region(context, region, config=config):
        grasps, failure = plan_hand_grasps(
            volume,
            region,
            hand,
            relevancy=localization.surface,
            avoid=avoid,
            boundary=config.grasp.boundary,
            config=config.hands,
            executor=executor_of(config.hands),
            device=context.device,
            seed=config.seed,
            progress=progress,
        )
        if grasps:
            return grasps, None
        first = first or failure
    return (), first


def executor_of(config: HandConfig) -> Executor | None:
    """Return what executes a hand's best grasps on the measured surface; None if none are to be.

    Raises:
        HandError: MuJoCo is missing.
    """
    if not config.executions:
        return None
    try:
        # Imported late: MuJoCo is an extra.
        from point2act.physics.measured_trial import execute_measured
    except SimulationError as err:
        raise HandError(
            'the best grasps of a hand are executed in physics: pip install "point2act[hands]", or use '
            f"--executions 0 to order them by force closure only ({err})"
        ) from err
    return execute_measured
