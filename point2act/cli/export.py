"""``point2act export out/``: a run as a recording for Rerun or Foxglove, or jobs as a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from point2act.cli.export_dataset import KINDS, export_dataset
from point2act.cli.load_run import open_scene
from point2act.cli.options import parse
from point2act.core.errors import PointsError
from point2act.core.progress import Stages


@dataclass(frozen=True)
class Arguments:
    """Write a run as a recording: images, depth, answers, Gaussians, relevancy, grasps.

    For Rerun (pip install "point2act[rerun]", open it with `rerun run.rrd`) or for Foxglove (pip install
    "point2act[foxglove]"):

      point2act export out/ --mcap run.mcap

    Or export a run, or the store of a batch, as a data set to learn from; see `point2act export lerobot
    --help`, and `webdataset` and `parquet`:

      point2act export lerobot store/ --output dataset/
    """

    run: tyro.conf.Positional[Path]
    """Folder that ``run`` wrote, or a config.yml of ns-train."""
    rerun: Path | None = None
    """Recording for Rerun to write; run.rrd if no recording is named."""
    mcap: Path | None = None
    """Recording for Foxglove to write."""
    grasps: Path | None = None
    """The grasps.json to show; by default that of the run, if there is one."""
    points: Path | None = None
    """The answers; by default those of the run, else of its capture."""


def main(argv: Sequence[str]) -> None:
    """Parse the arguments and write the recording or the data set."""
    if argv and argv[0] in KINDS:
        export_dataset(parse(KINDS[argv[0]], argv[1:], f"export {argv[0]}"))
    else:
        _export_recording(parse(Arguments, argv, "export"))


def _export_recording(arguments: Arguments) -> None:
    from point2act.data.points import read_points
    from point2act.grasping.end_effector import load_end_effector
    from point2act.grasping.grasps_json import read_grasps
    from point2act.pipeline.recording import recorded_queries
    from point2act.visualization.recordings.mcap_file import write_mcap
    from point2act.visualization.recordings.rerun_file import write_rerun

    wanted = [(arguments.rerun, write_rerun), (arguments.mcap, write_mcap)]
    if arguments.rerun is None and arguments.mcap is None:
        wanted[0] = (Path("run.rrd"), write_rerun)
    stages = Stages(show=True)
    with stages.stage("read the run") as tick:
        run = open_scene(arguments.run)
        path = arguments.points or run.points
        if path is None:
            raise PointsError(f"{run.folder} and its capture have no points.json: name one with --points")
        points = read_points(path, run.capture)
        session = run.session(progress=tick)
    localized = session.localize(points, stages=stages)
    grasps = arguments.grasps or run.folder / "grasps.json"
    document = read_grasps(grasps) if arguments.grasps is not None or grasps.is_file() else None
    gripper = load_end_effector("panda" if document is None else document["gripper"]["name"])
    queries = recorded_queries(localized, document)
    for target, write in wanted:
        if target is not None:
            with stages.stage(f"write {target.name}"):
                write(target, session.scene, session.views, queries, gripper)
            print(f"recording: {target}")
