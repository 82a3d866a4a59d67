"""``point2act capture droid|lerobot|hdf5``: episodes of robot datasets to a capture."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from point2act.core.logs import printable
from point2act.core.progress import Stages
from point2act.data.importers.episodes.episode import Episode, StepsConfig, choose_pictures, write_episode


@dataclass(frozen=True)
class Droid:
    """Convert a raw episode of DROID: the wrist camera along its path, and the two outer cameras.

    World is the robot's base. Recordings are read from recordings/MP4, and depth, if there is any, from
    recordings/Depth/SERIAL/STEP.png (16-bit, millimetres) or .npy (metres).
    """

    episode: tyro.conf.Positional[Path]
    """Folder with metadata_*.json, trajectory.h5 and recordings/."""
    output: Path
    """Folder of the capture to write; new or empty."""
    calibration: Path | None = None
    """Folder with the files of huggingface.co/KarlP/droid: intrinsics.json, and the better extrinsics
    cam2base_extrinsic_superset.json and cam2base_extrinsics.json."""
    steps: Annotated[StepsConfig, tyro.conf.arg(name="")] = field(default_factory=StepsConfig)


@dataclass(frozen=True)
class Lerobot:
    """Convert an episode of a LeRobot dataset (v2.0, v2.1, v3.0) that has the poses of its cameras."""

    dataset: tyro.conf.Positional[Path]
    """Folder with meta/info.json."""
    output: Path
    """Folder of the capture to write; new or empty."""
    episode: int = 0
    """Number of the episode."""
    mapping: str = "lerobot"
    """TOML file that says which features are colours, depth, intrinsics and poses, or gives them as numbers,
    also for cameras on the gripper. By default the names that are in use."""
    steps: Annotated[StepsConfig, tyro.conf.arg(name="")] = field(default_factory=StepsConfig)


@dataclass(frozen=True)
class Hdf5:
    """Convert an episode of an HDF5 file that has the poses of its cameras."""

    file: tyro.conf.Positional[Path]
    """The file."""
    output: Path
    """Folder of the capture to write; new or empty."""
    episode: int = 0
    """Number of the episode in the file."""
    mapping: str | None = None
    """TOML file that says which arrays are colours, depth, intrinsics and poses, or gives them as numbers; or
    robomimic, maniskill, robotwin or act. By default the first of these that fits."""
    steps: Annotated[StepsConfig, tyro.conf.arg(name="")] = field(default_factory=StepsConfig)


def convert_episode(arguments: Droid | Lerobot | Hdf5) -> None:
    """Write a capture. Raises ``CaptureError`` if the episode cannot be used."""
    if isinstance(arguments, Droid):
        from point2act.data.importers.episodes.droid import read_droid

        _write_episode(read_droid(arguments.episode, arguments.calibration), arguments)
    elif isinstance(arguments, Lerobot):
        from point2act.data.importers.episodes.lerobot import LeRobotEpisode
        from point2act.data.importers.episodes.mapping import load_mapping, read_episode

        source = LeRobotEpisode(arguments.dataset, arguments.episode)
        _write_episode(read_episode(source, load_mapping(arguments.mapping)), arguments)
    else:
        from point2act.data.importers.episodes.hdf5 import read_hdf5
        from point2act.data.importers.episodes.mapping import load_mapping

        mapping = None if arguments.mapping is None else load_mapping(arguments.mapping)
        with read_hdf5(arguments.file, mapping, arguments.episode) as episode:
            _write_episode(episode, arguments)


def _write_episode(episode: Episode, arguments: Droid | Lerobot | Hdf5) -> None:
    chosen = choose_pictures(episode, arguments.steps)
    counts = zip(episode.cameras, chosen, strict=True)
    used = ", ".join(f"{len(numbers)} of camera {camera.name}" for camera, numbers in counts)
    for note in (*episode.notes, f"images: {used}"):
        print(printable(note))
    with Stages(show=True).stage("write the capture") as tick:
        write_episode(arguments.output, episode, chosen, progress=tick)
