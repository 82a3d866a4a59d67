"""Cached replies: exactly the reply to exactly the same request, or nothing."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from point2act.core.errors import ModelError, Point2ActError, ReplyError
from point2act.vlm.clients.cache import ReplyCache, ask_with_cache, default_folder
from point2act.vlm.clients.client import Reply, Request

WHO = {"provider": "server", "model": "a", "extra": {"b": 1}}
REPLY = Reply("[(0.5, 0.5)]", 1.25, ((480, 640), (20, 30)), (1000, 12))


def picture(height: int = 4, width: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def entry(cache: ReplyCache) -> Path:
    (found,) = cache.folder.rglob("*.json")
    return found


# Every text that Python can hold, halves of characters too.
anything = st.text(st.characters(codec=None), max_size=20)
sizes = st.lists(st.tuples(st.integers(1, 9999), st.integers(1, 9999)), max_size=3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(anything, anything, st.floats(0, 1e9), sizes, st.tuples(st.integers(0), st.integers(0)))
def test_what_is_put_is_got(
    tmp_path: Path, words: str, text: str, seconds: float, shown: list, tokens: tuple[int, int]
):
    cache, reply = ReplyCache(tmp_path), Reply(text, seconds, tuple(shown), tokens)
    request = Request(words, (picture(),), {"type": "object"})
    cache.put(WHO, request, reply)
    assert cache.get(WHO, request) == reply


ASKED = Request("the mug", (picture(), picture(seed=1)), {"type": "object"})


def with_another_pixel(image: np.ndarray) -> np.ndarray:
    changed = image.copy()
    changed[-1, -1, -1] ^= 1
    return changed


OTHERS = {
    "who": ({**WHO, "model": "b"}, ASKED),
    "how": ({**WHO, "extra": {"b": 2}}, ASKED),
    "prompt": (WHO, dataclasses.replace(ASKED, prompt="the mug ")),
    "no schema": (WHO, dataclasses.replace(ASKED, schema=None)),
    "schema": (WHO, dataclasses.replace(ASKED, schema={"type": "array"})),
    "no image": (WHO, dataclasses.replace(ASKED, images=())),
    "order": (WHO, dataclasses.replace(ASKED, images=ASKED.images[::-1])),
    "pixel": (WHO, dataclasses.replace(ASKED, images=(ASKED.images[0], with_another_pixel(ASKED.images[1])))),
    "shape": (WHO, dataclasses.replace(ASKED, images=tuple(i.reshape(6, 4, 3) for i in ASKED.images))),
}


@pytest.mark.parametrize("difference", OTHERS)
def test_whatever_a_reply_depends_on_makes_a_difference(tmp_path: Path, difference: str):
    cache = ReplyCache(tmp_path)
    cache.put(WHO, ASKED, REPLY)
    assert cache.get(*OTHERS[difference]) is None
    assert cache.get(WHO, ASKED) == REPLY


def test_whatever_it_does_not_depend_on_makes_none(tmp_path: Path):
    """Memory layout, the order of keys, and which folder the image came from."""
    cache = ReplyCache(tmp_path)
    cache.put(WHO, ASKED, REPLY)
    strided = tuple(np.asfortranarray(image) for image in ASKED.images)
    turned = dict(reversed(WHO.items()))
    assert cache.get(turned, dataclasses.replace(ASKED, images=strided)) == REPLY


def test_every_damage_makes_an_entry_none_and_the_next_one_replaces_it(tmp_path: Path):
    """Truncated anywhere, or any byte changed: what is got is what was put, or nothing."""
    cache = ReplyCache(tmp_path)
    cache.put(WHO, ASKED, REPLY)
    whole = entry(cache).read_bytes()
    damaged = [whole[:end] for end in range(0, len(whole), 3)]
    for place in range(len(whole)):
        damaged.append(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    for content in damaged:
        entry(cache).write_bytes(content)
        assert cache.get(WHO, ASKED) is None
    cache.put(WHO, ASKED, REPLY)
    assert cache.get(WHO, ASKED) == REPLY


@pytest.mark.parametrize(
    "content",
    ["", "[]", "null", "7", '"reply"', "{}", "[" * 100_000, '{"version": 1, "reply": {}}', "\x00\xff", "NaN"],
)
def test_foreign_files_are_none(tmp_path: Path, content: str):
    cache = ReplyCache(tmp_path)
    cache.put(WHO, ASKED, REPLY)
    entry(cache).write_text(content, encoding="latin-1")
    assert cache.get(WHO, ASKED) is None


def test_an_entry_under_another_name_is_none(tmp_path: Path):
    cache = ReplyCache(tmp_path)
    cache.put(WHO, ASKED, REPLY)
    moved = entry(cache).read_bytes()
    other = dataclasses.replace(ASKED, prompt="the cup")
    cache.put(WHO, other, REPLY)
    for path in tmp_path.rglob("*.json"):
        path.write_bytes(moved)
    assert cache.get(WHO, ASKED) == REPLY
    assert cache.get(WHO, other) is None


def test_an_entry_from_another_version_is_none(tmp_path: Path):
    cache = ReplyCache(tmp_path)
    cache.put(WHO, ASKED, REPLY)
    document = json.loads(entry(cache).read_text())
    entry(cache).write_text(json.dumps(document | {"version": 2}))
    assert cache.get(WHO, ASKED) is None


def test_a_folder_in_the_place_of_an_entry_is_none(tmp_path: Path):
    cache = ReplyCache(tmp_path)
    cache.put(WHO, ASKED, REPLY)
    path = entry(cache)
    path.unlink()
    path.mkdir()
    assert cache.get(WHO, ASKED) is None


def test_threads_may_put_the_same_at_the_same_time(tmp_path: Path):
    cache = ReplyCache(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: cache.put(WHO, ASKED, REPLY), range(100)))
    assert cache.get(WHO, ASKED) == REPLY
    assert [path.name for path in tmp_path.rglob("*.part")] == []


def test_a_folder_that_cannot_be_written_is_an_error_before_anything_is_asked(tmp_path: Path):
    (tmp_path / "file").touch()
    cache = ReplyCache(tmp_path / "file" / "replies")
    with pytest.raises(ModelError, match="choose another folder"):
        cache.prepare()
    with pytest.raises(Point2ActError, match="cannot be written"):
        cache.put(WHO, ASKED, REPLY)
    assert cache.get(WHO, ASKED) is None


def test_a_prepared_folder_is_empty(tmp_path: Path):
    ReplyCache(tmp_path / "a" / "b").prepare()
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_the_default_folder_is_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "point2act" / "replies"
    for ignored in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert default_folder() == Path.home() / ".cache" / "point2act" / "replies"


# ── ask or recall ──────────────────────────────────────────────────────────────────────────────
class Parrot:
    """Gives scripted replies, one after the other."""

    concurrency = 1

    def __init__(self, *texts: str, identity: Mapping[str, Any] = WHO) -> None:
        self.identity, self.texts, self.asked = identity, list(texts), 0

    def ask(self, request: Request) -> Reply:
        self.asked += 1
        return Reply(self.texts.pop(0), 0.1)


def number(reply: Reply) -> int:
    if not reply.text.isdecimal():
        raise ReplyError(f"{reply.text!r} is no number")
    return int(reply.text)


def test_what_was_asked_is_recalled(tmp_path: Path):
    cache, parrot = ReplyCache(tmp_path), Parrot("7", "8")
    assert ask_with_cache(parrot, ASKED, number, cache=cache) == (Reply("7", 0.1), 7, False)
    assert ask_with_cache(parrot, ASKED, number, cache=cache) == (Reply("7", 0.1), 7, True)
    other = Request("the cup")
    assert ask_with_cache(parrot, other, number, cache=cache) == (Reply("8", 0.1), 8, False)
    assert parrot.asked == 2


def test_without_a_cache_everything_is_asked():
    parrot = Parrot("7", "8")
    assert [ask_with_cache(parrot, ASKED, number, cache=None)[1:] for _ in range(2)] == [
        (7, False),
        (8, False),
    ]


def test_a_reply_that_cannot_be_read_is_not_remembered(tmp_path: Path):
    cache, parrot = ReplyCache(tmp_path), Parrot("seven", "7")
    with pytest.raises(ReplyError, match="seven"):
        ask_with_cache(parrot, ASKED, number, cache=cache)
    assert cache.get(WHO, ASKED) is None
    assert ask_with_cache(parrot, ASKED, number, cache=cache)[1:] == (7, False)


def test_a_remembered_reply_that_cannot_be_read_any_more_is_asked_again(tmp_path: Path):
    cache, parrot = ReplyCache(tmp_path), Parrot("7")
    cache.put(WHO, ASKED, Reply("seven", 0.1))
    assert ask_with_cache(parrot, ASKED, number, cache=cache)[1:] == (7, False)
    assert ask_with_cache(parrot, ASKED, number, cache=cache)[1:] == (7, True)


def test_a_damaged_entry_is_asked_again(tmp_path: Path):
    cache, parrot = ReplyCache(tmp_path), Parrot("7", "8")
    ask_with_cache(parrot, ASKED, number, cache=cache)
    os.truncate(entry(cache), 20)
    assert ask_with_cache(parrot, ASKED, number, cache=cache)[1:] == (8, False)
    assert ask_with_cache(parrot, ASKED, number, cache=cache)[1:] == (8, True)
