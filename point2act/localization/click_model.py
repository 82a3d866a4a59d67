"""What a person's click says for a place. numpy only.

A person hardly errs, comes within a few pixels, and often clicks but once, while the mixtures for models
spend much of their weight on answers that mean something else. So one click is believed at once, and
whatever was clicked on is there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from point2act.localization.likelihood import EvidenceConfig
from point2act.localization.region import RegionConfig


def _errs() -> EvidenceConfig:
    """Deviations of 2 px, one in ten of 5 px, at f = 450: wider than a hand that clicks with 1.5 px, for the
    surface is not exactly where it is seen either. One in fifty clicks or silences is wrong; and what a
    person has pointed at is never absent."""
    return EvidenceConfig(
        jitter=((0.005, 9.0), (0.012, 1.0)),
        middle=0.5,
        wrong=((0.02, 1.0),),
        agreeing=((0.0, 1.0),),
        missed=0.02,
        hallucinated=((0.02, 1.0),),
        absent=0.0,
    )


def _finds() -> RegionConfig:
    """Two clicks may lie on two ends of one thing: they need not agree. And where on a large thing to act,
    say where on a table to put something, the click says by itself: within 1 cm at half a metre."""
    return RegionConfig(scatter=0.02, trust_answers=1.0, min_agree=1)


@dataclass(frozen=True)
class ClickConfig:
    """From what a person pointed at to a place. Tried on tables of ``python -m benchmarks.clicks``, seed 0.

    On things and parts nothing in it makes much of a difference but that clicks need not agree. After clicks
    on the bare table one acts 10 mm off in place of 17 (medians of 80) where the click is trusted more."""

    evidence: EvidenceConfig = field(default_factory=_errs)
    """How a person errs. The sizes are chosen."""
    region: RegionConfig = field(default_factory=_finds)
    """When clicks make a place."""
