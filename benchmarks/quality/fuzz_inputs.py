"""Seeds of the fuzzer, and mutations of JSON documents that leave them valid JSON."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

from benchmarks.common.timing import REPOSITORY

CONFIGS = REPOSITORY / "configs"
_POSE = [[1, 0, 0, 0.1], [0, 1, 0, -0.2], [0, 0, 1, 0.3], [0, 0, 0, 1]]
TRANSFORMS = {
    "camera_model": "OPENCV",
    "fl_x": 60.5, "fl_y": 60, "cx": 8, "cy": 6, "w": 16, "h": 12, "k1": 0.1, "p1": 0.01,
    "depth_unit_scale_factor": 0.001, "metric": True, "complete": False, "T_base_world": _POSE,
    "frames": [
        {"file_path": "images/0.png", "depth_file_path": "d/0.png", "transform_matrix": _POSE},
        {"file_path": "images/1.png", "mask_path": "images/0.png", "transform_matrix": _POSE},
    ],
}  # fmt: skip
_QUERY = {"name": "mug", "text": "the mug", "role": "grasp"}
_TARGET = {"query": _QUERY, "object": "mug", "part": None, "reason": "to drink"}
POINTS = {
    "version": 1,
    "queries": [_QUERY],
    "answers": [
        {"image": "images/0.png", "query": "mug", "points": [[1, 2.5]], "visible": True, "seconds": 1},
        {"image": "images/1.png", "query": "mug", "points": [], "visible": False, "raw": "no", "model": "m"},
    ],
    "plan": {"instruction": "drink", "model": "m", "steps": [{"action": "take", "targets": [_TARGET]}]},
}
REPLIES = (
    '<point x="61.5" y="40.4" alt="mug">mug</point>',
    '<points x1="1" y1="2" x2="3.5" y2="4" alt="a">a</points>',
    '<points coords="1 1 512 334 2 600 410">label</points>',
    "<|object_ref_start|>mug<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>",
    '```json\n[{"point_2d": [512, 334], "label": "mug"}]\n```',
    '[{"bbox_2d": [1, 2, 30, 40], "label": "mug"}]',
    '[{"point": [334, 512], "label": "mug"}, {"box_2d": [1, 2, 3, 4]}]',
    "[(0.25, 0.5), (0.3, 0.6)]",
    "<think>hm</think>[12, 34]",
    "<ref>mug</ref><point>[[512, 334]]</point>",
    '{"points": [{"x": 0.5, "y": 0.25}]}',
    '{"x_min": 0.1, "y_min": 0.2, "x_max": 0.3, "y_max": 0.4}',
    "There is no mug visible in this image.",
    "[]",
)
_VERTICES = "property float x\nproperty double y\nproperty int z\n"
_COLOURS = "property uchar red\nproperty short green\nproperty float blue\n"
CLOUDS = (
    f"ply\nformat ascii 1.0\ncomment c\nelement vertex 2\n{_VERTICES}{_COLOURS}element face 1\n"
    "property list uchar int vertex_indices\nend_header\n0 1 2 255 7 0.5\n1e3 nan -4 1 2 inf\n3 0 1 1\n",
    f"ply\nformat binary_big_endian 1.0\nelement vertex 1\n{_VERTICES}end_header\n{'a' * 16}",
)
# Values that parsers tend to mishandle; a key may be inserted anywhere.
_ODD = (
    None, True, False, 0, -1, 1, 2.5, 1e308, -1e308, 1e-320, 1e7, 10**400, float("inf"), "", "a", "..", "/",
    "\0", "\ud800", "../x", "images/0.png", [], {}, [[]], [1, 2], [[1, 2]], _POSE, "a" * 1100,
)  # fmt: skip
_KEYS = (
    "k1", "k4", "k6", "p2", "distortion_params", "fisheye_crop_radius", "camera_angle_x", "mask_path",
    "ply_file_path", "depth_file_path", "role", "raw", "seconds", "plan", "camera_model",
)  # fmt: skip


def changed(data: bytes, rng: random.Random) -> bytes | None:
    """Return a JSON document with one to three values replaced; None if it is not JSON or has no values."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    for _ in range(rng.randint(1, 3)):
        places = _places(document)
        if not places:
            return None
        holder, key = rng.choice(places)
        values = [inner[at] for inner, at in places]
        choice = rng.random()
        if choice < 0.15:
            del holder[key]
        elif choice < 0.3 and isinstance(holder, dict):
            holder[rng.choice(_KEYS)] = copy.deepcopy(rng.choice([*values, *_ODD]))
        elif choice < 0.4 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        else:
            holder[key] = copy.deepcopy(rng.choice([*values, *_ODD, *_ODD]))
    return json.dumps(document).encode()


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Return every container with each of its keys."""
    found: list[tuple[Any, Any]] = []
    left = [document]
    while left:
        holder = left.pop()
        if isinstance(holder, (dict, list)):
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            found += [(holder, key) for key in keys]
            left += [holder[key] for key in keys]
    return found


def dictionary(seeds: list[bytes]) -> str:
    """Return words of the seeds, numbers and brackets as a libFuzzer dictionary."""
    known = {
        word
        for seed in seeds
        for word in seed.decode(errors="ignore").replace('"', " ").split()
        if len(word) < 30
    }
    odd = [
        "1e999",
        "-1e308",
        "1e-320",
        "NaN",
        "Infinity",
        "null",
        "true",
        "{}",
        "[]",
        "[[",
        "]]",
        "\\ud800",
        "../",
    ]
    return "".join(f'"{_escaped(token)}"\n' for token in sorted(known | set(odd)))


def _escaped(token: str) -> str:
    return "".join(f"\\x{byte:02X}" for byte in token.encode())
