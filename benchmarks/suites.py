"""The suites: each is a module with ``measure(plan)``, which yields metrics as it measures them."""

from __future__ import annotations

METHOD = {
    "act": "act.suite",
    "bags": "bags.suite",
    "check": "check.suite",
    "choose": "pipeline.choose",
    "clicks": "clicks.suite",
    "features": "features.suite",
    "fit": "splatting.fit",
    "fleet": "fleet.suite",
    "follow": "follow.suite",
    "frame": "frame.suite",
    "gpu": "splatting.gpu",
    "grasps": "grasps.suite",
    "hands": "hands.suite",
    "large": "large.suite",
    "learned": "learned.suite",
    "lift": "splatting.lift",
    "localisation": "localization.suite",
    "masks": "masks.suite",
    "own_data": "own_data.suite",
    "question": "pipeline.question",
    "raster": "splatting.raster",
    "real": "real.suite",
    "robots": "robots.suite",
    "sensors": "sensors.suite",
    "run": "pipeline.run",
    "tabletop": "pipeline.tabletop",
    "teach": "teach.suite",
    "tracking": "tracking.suite",
    "view": "view.suite",
    "zoom": "zoom.suite",
}
"""Benchmarks of the method: how accurate and how fast it is. Modules are relative to this package."""

QUALITY = {
    "fuzz": "quality.fuzz",
    "growth": "quality.growth",
    "kills": "quality.kills",
    "memory": "quality.memory",
    "soak": "quality.soak",
    "startup": "quality.startup",
}
"""Checks of quality: robustness, memory, start-up and growth of time with the size of the input."""

SUITES = {name: f"benchmarks.{module}" for name, module in sorted((METHOD | QUALITY).items())}
"""The module of each suite."""

LONG = (
    "act",
    "bags",
    "check",
    "choose",
    "clicks",
    "fleet",
    "follow",
    "fuzz",
    "grasps",
    "hands",
    "kills",
    "large",
    "learned",
    "localisation",
    "masks",
    "own_data",
    "real",
    "robots",
    "sensors",
    "soak",
    "tabletop",
    "teach",
    "tracking",
    "view",
    "zoom",
)
"""Suites that take many minutes: they run only when they are named."""
