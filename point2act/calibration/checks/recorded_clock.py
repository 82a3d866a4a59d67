"""Clock skew between images and tf of a bag, recorded in the capture that was made from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from point2act.calibration.checks.findings import Evidence, Finding
from point2act.core.errors import CaptureError
from point2act.core.files import write_json
from point2act.data.capture.read import read_document, transforms_path
from point2act.data.capture.validators import finite

if TYPE_CHECKING:
    from point2act.calibration.checks.clock_skew import ClockSkew

_KEY = "clock_skew"
_AGREEING = 0.005
"""Clock skew in seconds that is not reported. Chosen: 2.5 mm at the 0.5 m/s of a quick arm."""


def record_clock(folder: Path, found: ClockSkew, given: float) -> None:
    """Record in a capture's transforms.json what the clocks differ by.

    Args:
        folder: Folder of the capture.
        found: Skew that is left.
        given: Skew in seconds that the poses were read with.
    """
    path = transforms_path(folder)
    skew = {"seconds": found.seconds, "std": found.std, "corrected": given}
    write_json(path, {**read_document(path), _KEY: skew})


def check_clock(capture: Path) -> Evidence:
    """Report the clock skew that a capture records; nothing without one.

    Args:
        capture: Folder of the capture, or its transforms.json.

    Raises:
        CaptureError: The record is malformed.
    """
    path = transforms_path(capture)
    skew = read_document(path).get(_KEY)
    if skew is None:
        return Evidence()
    if not isinstance(skew, Mapping):
        raise CaptureError(f"{path}: '{_KEY}' is not an object with 'seconds' and 'std': remove it")
    return _evidence(skew, f"{path}: '{_KEY}'")


def _evidence(skew: Mapping[str, Any], place: str) -> Evidence:
    seconds = finite(skew.get("seconds"), f"{place}: 'seconds'")
    std = finite(skew.get("std"), f"{place}: 'std'")
    corrected = finite(skew.get("corrected", 0.0), f"{place}: 'corrected'")
    figures = {"clock_skew": seconds, "clock_skew_std": std}
    if agreeing(seconds, std):
        return Evidence((), figures, "clocks of images and poses")
    message = skew_message(seconds, std, corrected)
    return Evidence((Finding("warning", "clock", message, (), seconds),), figures)


def agreeing(seconds: float, std: float) -> bool:
    """Return whether a clock skew with a standard deviation, seconds, needs no correction."""
    return abs(seconds) < max(_AGREEING, 2 * std)


def skew_message(seconds: float, std: float, corrected: float) -> str:
    """Return what a clock skew means and how to correct it.

    Args:
        seconds: Skew that is left.
        std: Its standard deviation, seconds.
        corrected: Skew in seconds that the poses were read with.
    """
    early = "before" if seconds > 0 else "after"
    return (
        f"images are stamped {abs(1000 * seconds):.0f} ms {early} tf has the poses that they show "
        f"(± {1000 * std:.0f} ms): convert again with --skew {corrected + seconds:.3f}"
    )
