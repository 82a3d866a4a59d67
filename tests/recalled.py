"""A test server's answers out of a points.json: what a model would say that sees what the file says."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from model_server import decode_image, prompt
from PIL import Image
from reply_formats import format_reply

_THUMB = (32, 24)
# Grey levels. The same image through JPEG and another size differs by about one, a crop of it by tens.
_SAME = 6.0


class Recalled:
    """Answers as a points.json has them, for every image of the capture, in any size.

    The capture may still grow. A line of JSON for each request goes to ``log``.
    """

    def __init__(self, points: Path, capture: Path, dialect: str, log: Path | None = None) -> None:
        document = json.loads(points.read_text(encoding="utf-8"))
        self._texts = {query["text"]: query["name"] for query in document["queries"]}
        self._points = {(a["image"], a["query"]): a["points"] for a in document["answers"]}
        self._capture, self._dialect, self._log = capture, dialect, log
        self._frames: dict[str, tuple[np.ndarray, tuple[int, int]]] = {}
        self._read: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def __call__(self, request: dict[str, Any]) -> str:
        image = decode_image(request)
        with self._lock:
            self._look_for_frames()
            name, (height, width) = self._recognise(image)
            query = self._query(prompt(request))
            self._note({"time": time.time(), "image": name, "query": query})
        scale = np.array([image.shape[1] / width, image.shape[0] / height])
        points = np.array(self._points.get((name, query), []), dtype=float).reshape(-1, 2) * scale
        return format_reply(points.tolist(), self._dialect, (image.shape[0], image.shape[1]))

    def _look_for_frames(self) -> None:
        """Frames that the capture has got since the last time; one that is being written can wait."""
        path = self._capture / "transforms.json"
        try:
            stamp = path.stat()
            if (stamp.st_mtime_ns, stamp.st_size) == self._read:
                return
            frames = json.loads(path.read_text(encoding="utf-8"))["frames"]
        except (OSError, ValueError):
            return
        for name in (frame["file_path"] for frame in frames):
            if name not in self._frames:
                try:
                    image = Image.open(self._capture / name).convert("RGB")
                except OSError:
                    return  # Listed before it is written: it cannot have been sent.
                self._frames[name] = _thumb(np.asarray(image)), (image.height, image.width)
        self._read = (stamp.st_mtime_ns, stamp.st_size)

    def _recognise(self, image: np.ndarray) -> tuple[str, tuple[int, int]]:
        seen = _thumb(image)
        far = {name: float(np.abs(thumb - seen).mean()) for name, (thumb, _) in self._frames.items()}
        if not far or min(far.values()) > _SAME:
            raise ValueError(f"this image is not of the capture, which has {len(far)}: {far}")
        nearest = min(far, key=far.__getitem__)
        return nearest, self._frames[nearest][1]

    def _query(self, words: str) -> str:
        """The query with the longest text that the prompt contains."""
        asked = [text for text in self._texts if text in words]
        if not asked:
            raise ValueError(f"no query of points.json is asked for in {words!r}")
        return self._texts[max(asked, key=len)]

    def _note(self, entry: dict[str, Any]) -> None:
        if self._log is not None:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")


def _thumb(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize(_THUMB, Image.Resampling.BOX), dtype=float)
