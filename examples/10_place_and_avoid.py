"""Roles: grasp one thing, put it down somewhere, and keep away from a third."""

from dataclasses import replace
from pathlib import Path

import tyro

import point2act
from point2act.core.types import Role


def main(run: Path, points: Path, avoid: str | None = None, place: str | None = None) -> None:
    """Give the named queries of a points.json the roles `avoid` and `place`."""
    session = point2act.open_run(run)
    known = point2act.read_points(points, session.capture)
    roles: dict[str | None, Role] = {avoid: "avoid", place: "place"}
    queries = tuple(replace(query, role=roles.get(query.name, query.role)) for query in known.queries)
    for found in session.ask(replace(known, queries=queries)).results:
        if found.place is not None:
            print(f"put it down at {found.place.T_world_place[:3, 3].round(3)}")
        elif found.grasps:
            clearance = found.grasps[0].avoid_clearance
            away = "" if clearance is None else f", {1e3 * clearance:.0f} mm from what to avoid"
            print(f"{found.query.text}: {len(found.grasps)} grasps{away}")
        else:
            print(f"{found.query.text}: {found.detail}")


if __name__ == "__main__":
    tyro.cli(main, config=(tyro.conf.PositionalRequiredArgs,))
