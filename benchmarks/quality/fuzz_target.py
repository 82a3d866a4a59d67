"""Fuzz one parser with Atheris: ``python -m benchmarks.quality.fuzz_target transforms 180 FOLDER``.

Every exception but Point2ActError is written to FOLDER, once for each line that raises it, and the search
continues. libFuzzer prints its figures on standard error.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import atheris
import numpy as np
from PIL import Image

from benchmarks.quality.fuzz_inputs import CLOUDS, CONFIGS, POINTS, REPLIES, TRANSFORMS, changed, dictionary

with atheris.instrument_imports(include=["point2act"]):  # type: ignore[attr-defined]
    from point2act.core.errors import Point2ActError
    from point2act.core.types import GaussianScene
    from point2act.data.capture import load_views, read_capture
    from point2act.data.points import read_points
    from point2act.data.scene_ply import read_splat_ply, write_splat_ply
    from point2act.grasping.grippers import load_gripper
    from point2act.splatting.initialization import read_cloud
    from point2act.vlm.clients.models import load_model
    from point2act.vlm.parsers import DIALECTS, parse_reply

Target = Callable[[bytes], object]

HANG = 10  # Maximum seconds for one input: a thousand times the usual.
_LONGEST = 4096  # Maximum bytes of an input: the seeds have up to 2000.


def transforms(folder: Path) -> tuple[Target, list[bytes]]:
    """Fuzz transforms.json beside two small images, and their pixels."""
    _write_images(folder)

    def parse(data: bytes) -> None:
        (folder / "transforms.json").write_bytes(data)
        load_views(read_capture(folder))

    fisheye = TRANSFORMS | {"camera_model": "OPENCV_FISHEYE", "fisheye_crop_radius": 5}
    angles = {"camera_angle_x": 1.0, "distortion_params": [0.1, 0, 0], "frames": TRANSFORMS["frames"]}
    return parse, [json.dumps(document).encode() for document in (TRANSFORMS, fisheye, angles)]


def points(folder: Path) -> tuple[Target, list[bytes]]:
    """Fuzz points.json for a capture."""
    transforms(folder)[0](json.dumps(TRANSFORMS).encode())
    capture = read_capture(folder)

    def parse(data: bytes) -> None:
        (folder / "points.json").write_bytes(data)
        read_points(folder / "points.json", capture)

    return parse, [json.dumps(document).encode() for document in (POINTS, POINTS | {"plan": None})]


def replies(folder: Path) -> tuple[Target, list[bytes]]:
    """Fuzz a model's reply; its first byte chooses the format."""

    def parse(data: bytes) -> None:
        dialect = DIALECTS[data[0] % len(DIALECTS)] if data else "auto"
        parse_reply(data[1:].decode("utf-8", "surrogateescape"), dialect, image_size=(480, 640))

    return parse, [bytes([index]) + text.encode() for text in REPLIES for index in range(len(DIALECTS))]


def configs(folder: Path) -> tuple[Target, list[bytes]]:
    """Fuzz the TOML file of a gripper or a model; its first byte chooses which."""
    loaders = (load_gripper, load_model)

    def parse(data: bytes) -> None:
        (folder / "x.toml").write_bytes(data[1:])
        loaders[data[0] % 2 if data else 0](folder / "x.toml")

    files = [*CONFIGS.glob("grippers/*.toml"), *CONFIGS.glob("models/*.toml")]
    return parse, [bytes([file.parent.name == "models"]) + _bare(file) for file in files]


def clouds(folder: Path) -> tuple[Target, list[bytes]]:
    """Fuzz a PLY file as initial points or as a run's Gaussians; its first byte chooses which."""
    loaders = (read_cloud, read_splat_ply)

    def parse(data: bytes) -> None:
        (folder / "x.ply").write_bytes(data[1:])
        loaders[data[0] % 2 if data else 0](folder / "x.ply")

    for degree in (0, 1):
        quats, sh = np.full((2, 4), 0.5), np.full((2, (degree + 1) ** 2, 3), 0.25)
        scene = GaussianScene(np.zeros((2, 3)), quats, np.full((2, 3), 0.01), np.full(2, 0.5), sh)
        write_splat_ply(folder / f"{degree}.ply", scene)
    scenes = [b"\1" + (folder / f"{degree}.ply").read_bytes() for degree in (0, 1)]
    return parse, [*scenes, *(b"\0" + cloud.encode() for cloud in CLOUDS)]


TARGETS = {
    "transforms": transforms,
    "points": points,
    "replies": replies,
    "configs": configs,
    "clouds": clouds,
}


def main(name: str, seconds: str, found: str) -> None:
    """Run the search; does not return."""
    Path(found).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        corpus, words = Path(work, "corpus"), Path(work, "words")
        target, seeds = TARGETS[name](Path(work))
        corpus.mkdir()
        for index, seed in enumerate(seeds):
            (corpus / str(index)).write_bytes(seed)
        words.write_text(dictionary(seeds))
        options = [f"-max_total_time={seconds}", f"-timeout={HANG}", f"-max_len={_LONGEST}", f"-dict={words}"]
        options += ["-print_final_stats=1", "-rss_limit_mb=4096", "-seed=1", f"-artifact_prefix={found}/"]
        mutator = {"custom_mutator": _mutated} if name in ("transforms", "points") else {}
        atheris.Setup(["fuzz", *options, str(corpus)], partial(_tried, target, Path(found)), **mutator)
        # A warning of overflow counts as a defect.
        warnings.simplefilter("error")
        atheris.Fuzz()


def _tried(target: Target, found: Path, data: bytes) -> None:
    try:
        target(data)
    except Point2ActError:
        return
    except Exception as err:
        last = traceback.extract_tb(err.__traceback__)[-1]
        place = f"{type(err).__name__} {last.filename}:{last.lineno}"
        file = found / f"raised-{hashlib.sha256(place.encode()).hexdigest()[:12]}"
        if not file.exists():
            file.write_bytes(data)
            file.with_suffix(".txt").write_text(traceback.format_exc())


def _mutated(data: bytes, most: int, seed: int) -> bytes:
    """Replace values of a JSON document in half of the cases, else use libFuzzer's own mutations."""
    rng = random.Random(seed)
    found = changed(data, rng) if rng.random() < 0.5 else None
    return atheris.Mutate(data, len(data)) if found is None or len(found) > most else found


def _write_images(folder: Path) -> None:
    for index in range(2):
        (folder / "images").mkdir(exist_ok=True)
        Image.fromarray(np.full((12, 16, 3), 80 * index, np.uint8)).save(folder / f"images/{index}.png")
    (folder / "d").mkdir(exist_ok=True)
    Image.fromarray(np.full((12, 16), 500, np.uint16)).save(folder / "d/0.png")


def _bare(file: Path) -> bytes:
    """Return a config without its comments."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line and not line.startswith("#")).encode()


if __name__ == "__main__":
    main(*sys.argv[1:])
