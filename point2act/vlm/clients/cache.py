"""A cache of replies on disk: the same request to the same model is sent only once."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from point2act.core.errors import ModelError, ReplyError
from point2act.core.files import read_json, write_text
from point2act.vlm.clients.client import ModelClient, Reply, Request

T = TypeVar("T")

_log = logging.getLogger(__name__)

_VERSION = 1
"""Version of the entries. Increase it when requests are sent differently, such as in another image format."""


def default_folder() -> Path:
    """Return the folder of cached replies in the user's cache folder.

    Source: XDG Base Directory Specification 0.8, which ignores relative paths.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "point2act" / "replies"


@dataclass(frozen=True)
class ReplyCache:
    """Replies on disk by everything that they depend on: the client's identity, the prompt and the pixels."""

    folder: Path

    def prepare(self) -> None:
        """Make the folder, and check that it is writable before a request costs anything.

        Raises:
            ModelError: The folder cannot be written.
        """
        probe = self.folder / f".{os.getpid()}.probe"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as err:
            raise ModelError(
                f"replies cannot be cached in {self.folder} ({err.strerror}): choose another folder, "
                "or ask without a cache"
            ) from err

    def get(self, identity: Mapping[str, Any], request: Request) -> Reply | None:
        """Return the cached reply; None if there is none, or the entry is damaged."""
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
        """Write a reply, replacing an earlier one.

        Raises:
            Point2ActError: The file cannot be written.
        """
        key, document = _key(identity, request), asdict(reply)
        entry = {"version": _VERSION, "key": key, "reply": document, "sha256": _digest(document)}
        write_text(self._path(key), _canonical(entry))

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


def ask_with_cache(
    client: ModelClient, request: Request, read: Callable[[Reply], T], *, cache: ReplyCache | None
) -> tuple[Reply, T, bool]:
    """Return the cached reply to a request, or send the request and cache the reply.

    Args:
        client: The client to ask.
        request: The request.
        read: Function that parses a reply. A cached reply that it refuses with ``ReplyError`` is requested
            again, and only replies that it accepts are cached.
        cache: The cache; None to always send the request.

    Returns:
        The reply, what ``read`` made of it, and whether it was cached.

    Raises:
        Point2ActError: The cache cannot be written, or what ``client`` and ``read`` raise.
    """
    known = cache.get(client.identity, request) if cache else None
    if known is not None:
        try:
            parsed = read(known)
            _log.debug("%s (%s): cached", request.about, request.sizes, extra={"image": request.about})
            return known, parsed, True
        except ReplyError:
            pass  # It was readable once: the parser has become stricter since.
    reply = client.ask(request)
    parsed = read(reply)
    if cache:
        cache.put(client.identity, request, reply)
    return reply, parsed, False


def _key(identity: Mapping[str, Any], request: Request) -> str:
    """Return the SHA-256 of everything that a reply depends on."""
    images = []
    for image in request.images:
        pixels = np.ascontiguousarray(image)
        images.append({"shape": list(pixels.shape), "sha256": hashlib.sha256(pixels.data).hexdigest()})
    schema = None if request.schema is None else dict(request.schema)
    return _digest(
        {
            "version": _VERSION,
            "asker": dict(identity),  # The name is part of the key of every cached reply.
            "prompt": request.prompt,
            "schema": schema,
            "max_tokens": request.max_tokens,
            "images": images,
        }
    )


def _digest(document: Any) -> str:
    return hashlib.sha256(_canonical(document).encode("ascii")).hexdigest()


def _canonical(document: Any) -> str:
    """Return the canonical JSON of a document, in ASCII because replies can hold lone surrogates."""
    return json.dumps(document, sort_keys=True, allow_nan=False, separators=(",", ":"))
