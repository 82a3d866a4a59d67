"""Write the JSON Schemas that ship with the package, from the models of the formats: ``make schemas``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import point2act
from point2act.acting.execution.run_document import ActDocument
from point2act.acting.tracking.tracks_document import TracksDocument
from point2act.data.documents import PointsDocument
from point2act.grasping.grasps_document import GraspsDocument
from point2act.scoring.scores_document import ScoresDocument

MODELS = {
    "points": PointsDocument,
    "grasps": GraspsDocument,
    "tracks": TracksDocument,
    "act": ActDocument,
    "scores": ScoresDocument,
}


def path(name: str) -> Path:
    """The shipped file."""
    return Path(point2act.__file__).parent / "core" / "schemas" / f"{name}.schema.json"


def schema(name: str) -> dict[str, Any]:
    """What the file is to hold."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return dialect | MODELS[name].model_json_schema() | {"title": f"point2act {name}"}


if __name__ == "__main__":
    for name in MODELS:
        path(name).write_text(json.dumps(schema(name), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
