"""All checks of the views of a capture, as one report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from point2act.calibration.checks.coverage import check_coverage
from point2act.calibration.checks.depths import check_depths
from point2act.calibration.checks.epipolar import check_poses
from point2act.calibration.checks.findings import Evidence, Report, flag, merge_evidence
from point2act.calibration.checks.image_quality import check_image_quality
from point2act.calibration.checks.matches import match_views
from point2act.calibration.checks.registration import check_registration
from point2act.core.progress import StepCounter
from point2act.core.types import ProgressCallback, View

_STEPS = 4
"""Progress steps after one for each view: image quality, poses, depth, registration."""


@dataclass(frozen=True)
class CheckConfig:
    """Input of the checks."""

    max_side: int = 640
    """Longer side, pixels, of the reduced images that are checked, and of pixels in the report."""


def run_checks(
    views: Sequence[View],
    *,
    metric: bool = False,
    recorded: Sequence[Evidence] = (),
    progress: ProgressCallback | None = None,
) -> Report:
    """Check image quality, coverage, poses, depth and its registration to the colours.

    The checks are deterministic, and only the comparison of depth with poses assumes a scale.

    Args:
        views: Undistorted views; messages are in their pixels.
        metric: Whether lengths are metres also without depth.
        recorded: Results of checks of what the capture records beside its views.
        progress: Called with the steps done and the steps in all.
    """
    advance = StepCounter(progress, len(views) + _STEPS)
    coverage = check_coverage(views)
    if len(views) < 2:
        return merge_evidence([coverage, *recorded])
    matched = match_views(views, advance)
    parts = [coverage, *recorded, _sizes(views), check_image_quality(views, matched)]
    advance()
    poses = check_poses(views, matched)
    parts.append(poses)
    advance()
    parts.append(check_depths(views, matched, poses_fit=not poses.findings, metric=metric))
    advance()
    parts.append(check_registration(views))
    advance()
    return merge_evidence(parts)


def _sizes(views: Sequence[View]) -> Evidence:
    """Report images of different sizes, which are allowed but often by mistake."""
    sizes = [view.rgb.shape[:2] for view in views]
    usual = max(set(sizes), key=sizes.count)
    message = f"not {usual[1]}x{usual[0]} pixels like the others: check that they are from the same camera"
    return Evidence(tuple(flag(views, [size != usual for size in sizes], "remark", "sizes", message)))
