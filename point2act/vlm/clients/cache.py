"""Replies remembered on disk: whoever asks the same again gets them at once and for nothing."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from point2act.core.errors import ModelError, ReplyError
from point2act.core.files import read_json, write_text
from point2act.vlm.clients.client import ModelClient, Reply, Request

T = TypeVar("T")

_log = logging.getLogger(__name__)

_VERSION = 1
"""Of the entries. To be raised when a request is sent differently, such as by another image format."""


def default_folder() -> Path:
    """Where replies are remembered unless said otherwise: the user's cache folder.

    Source: XDG Base Directory Specification 0.8, which ignores relative paths.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "point2act" / "replies"


@dataclass(frozen=True)
class ReplyCache:
    """Replies by everything that they depend on: who is asked, what, and the pixels that are shown."""

    folder: Path

    def prepare(self) -> None:
        """Make the folder, and see that it can be written before anything is asked that costs something.

        Raises ``ModelError`` where it cannot.
        """
        probe = self.folder / f".{os.getpid()}.probe"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as err:
            raise ModelError(
                f"replies cannot be remembered in {self.folder} ({err.strerror}): choose another folder, "
                "or ask without a cache"
            ) from err

    def get(self, identity: Mapping[str, Any], request: Request) -> Reply | None:
        """The remembered reply; None where there is none, or what is there is damaged or not ours."""
        key = _key(identity, request)
        try:
            entry = read_json(self._path(key), ModelError)
            reply = entry["reply"]
            if (entry["version"], entry["key"], entry["sha256"]) != (_VERSION, key, _digest(reply)):
                return None
            sizes = tuple((height, width) for height, width in reply["input_sizes"])
            read, written = reply["tokens"]
            return Reply(reply["text"], reply["seconds"], sizes, (read, written))
        except (ModelError, KeyError, TypeError, ValueError, RecursionError):
            return None

    def put(self, identity: Mapping[str, Any], request: Request, reply: Reply) -> None:
        """Remember a reply, in place of whatever was there.

        Raises ``Point2ActError`` where the file cannot be written.
        """
        key = _key(identity, request)
        document = {
            "text": reply.text,
            "seconds": reply.seconds,
            "input_sizes": [list(size) for size in reply.input_sizes],
            "tokens": list(reply.tokens),
        }
        entry = {"version": _VERSION, "key": key, "reply": document, "sha256": _digest(document)}
        write_text(self._path(key), _canonical(entry))

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


def ask_with_cache(
    client: ModelClient, request: Request, read: Callable[[Reply], T], *, cache: ReplyCache | None
) -> tuple[Reply, T, bool]:
    """The reply, what ``read`` makes of it, and whether it was remembered rather than asked for.

    A remembered reply that ``read`` refuses with ``ReplyError`` is asked for again, and only what it
    accepts is remembered. Raises what ``client`` and ``read`` raise, and
    ``Point2ActError`` where the cache cannot be written.
    """
    known = cache.get(client.identity, request) if cache else None
    if known is not None:
        try:
            made = read(known)
            _log.debug("%s (%s): remembered", request.about, request.sizes, extra={"image": request.about})
            return known, made, True
        except ReplyError:
            pass  # It was readable once: the reader has become stricter since.
    reply = client.ask(request)
    made = read(reply)
    if cache:
        cache.put(client.identity, request, reply)
    return reply, made, False


def _key(identity: Mapping[str, Any], request: Request) -> str:
    """SHA-256 of everything that a reply depends on."""
    images = []
    for image in request.images:
        pixels = np.ascontiguousarray(image)
        images.append({"shape": list(pixels.shape), "sha256": hashlib.sha256(pixels.data).hexdigest()})
    schema = None if request.schema is None else dict(request.schema)
    return _digest(
        {
            "version": _VERSION,
            "client": dict(identity),
            "prompt": request.prompt,
            "schema": schema,
            "max_tokens": request.max_tokens,
            "images": images,
        }
    )


def _digest(document: Any) -> str:
    return hashlib.sha256(_canonical(document).encode("ascii")).hexdigest()


def _canonical(document: Any) -> str:
    """The one way to write a document. ASCII, for models can write half a character (a lone surrogate)."""
    return json.dumps(document, sort_keys=True, allow_nan=False, separators=(",", ":"))
