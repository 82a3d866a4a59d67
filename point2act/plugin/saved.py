"""What a checkpoint holds beside nerfstudio's tensors, in types that ``weights_only`` loading allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from point2act.core.types import Query
from point2act.plugin.bridge import Similarity


@dataclass(frozen=True, eq=False)
class Saved:
    """The queries of the relevancies, and how to get from nerfstudio's frame back to the world."""

    queries: tuple[Query, ...]
    capture: Path
    S_nerf_world: Similarity
    timings: Mapping[str, float]
    """Seconds per stage of the training."""

    @staticmethod
    def empty() -> Saved:
        """Before anything is loaded."""
        return Saved((), Path(), Similarity.from_matrix(np.eye(4)), {})

    @staticmethod
    def at_start(capture: Path, S_nerf_world: Similarity, queries: Sequence[Query]) -> Saved:
        """At the beginning of a training; the capture's path is made absolute."""
        return Saved(tuple(queries), capture.resolve(), S_nerf_world, {})

    def to_dict(self) -> dict[str, Any]:
        """Plain strings, numbers and lists."""
        return {
            "queries": [asdict(query) for query in self.queries],
            "capture": str(self.capture),
            "S_nerf_world": self.S_nerf_world.matrix.tolist(),
            "timings": dict(self.timings),
        }

    @staticmethod
    def from_dict(state: dict[str, Any]) -> Saved:
        """The inverse of ``to_dict``."""
        return Saved(
            tuple(Query(**query) for query in state["queries"]),
            Path(state["capture"]),
            Similarity.from_matrix(np.array(state["S_nerf_world"])),
            state["timings"],
        )
