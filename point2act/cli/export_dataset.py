"""``point2act export lerobot|webdataset|parquet``: finished jobs as a data set to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from point2act.core.errors import FleetError
from point2act.core.progress import Stages


@dataclass(frozen=True)
class Lerobot:
    """Export jobs as a LeRobot dataset (v3.0): an episode for each query, a frame for each image.

      point2act export lerobot store/ --output dataset/

    Images, depth, poses, answers, the best grasp as the action, and whether it held; no fields.
    """

    source: tyro.conf.Positional[Path]
    """Folder that point2act batch or point2act run wrote."""
    output: Path
    """Folder of the data set to write; new or empty."""


@dataclass(frozen=True)
class Webdataset:
    """Export jobs as tar shards for WebDataset: a sample for each image, and one for each query.

      point2act export webdataset store/ --output shards/

    Images, depth, poses and answers; regions, grasps and trials; fields of jobs that keep them.
    """

    source: tyro.conf.Positional[Path]
    """Folder that point2act batch or point2act run wrote."""
    output: Path
    """Folder of the shards to write; new or empty."""
    shard_mb: int = 256
    """Size from which a shard is full, MB."""


@dataclass(frozen=True)
class Parquet:
    """Export jobs as Parquet tables: images, answers, results, grasps, trials and fields.

      point2act export parquet store/ --output tables/

    The tables are joined by job and query. Each image of a capture is in them once.
    """

    source: tyro.conf.Positional[Path]
    """Folder that point2act batch or point2act run wrote."""
    output: Path
    """Folder of the tables to write; new or empty."""


KINDS = {"lerobot": Lerobot, "webdataset": Webdataset, "parquet": Parquet}
"""The formats of data sets."""


def export_dataset(arguments: Lerobot | Webdataset | Parquet) -> None:
    """Write a data set, completely or not at all."""
    if isinstance(arguments, Webdataset) and arguments.shard_mb < 1:
        raise FleetError(f"--shard-mb {arguments.shard_mb}: give at least 1")
    from point2act.core.files import check_free, new_folder
    from point2act.fleet.datasets.contents import read_contents
    from point2act.fleet.datasets.lerobot import write_lerobot
    from point2act.fleet.datasets.sources import find_jobs
    from point2act.fleet.datasets.tables import write_parquet
    from point2act.fleet.datasets.webdataset import write_webdataset

    check_free(arguments.output, FleetError)
    jobs = find_jobs(arguments.source)
    with Stages(show=True).stage("write the data set") as tick:
        contents = read_contents(jobs, tick)
        with new_folder(arguments.output, FleetError) as folder:
            if isinstance(arguments, Lerobot):
                write_lerobot(contents, folder)
            elif isinstance(arguments, Webdataset):
                write_webdataset(contents, folder, shard_bytes=arguments.shard_mb * 2**20)
            else:
                write_parquet(contents, folder)
    print(f"data set: {arguments.output}, {len(jobs)} jobs")
