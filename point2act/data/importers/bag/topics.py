"""Choice of the topics of a bag: named, or guessed by the names that camera drivers use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from point2act.core.errors import CaptureError
from point2act.data.importers.bag.reader import COMPRESSED, IMAGE, INFO, TF, Topic

_TRANSPORTS = ("compressed", "compressedDepth")
_DEPTH_WORDS = ("depth", "disparity")
_NO_COLOR_WORDS = ("infra", "/ir/", "ir_", "mask", "label", "confidence", "segment", "debug", "overlay")
_COLOR_WORDS = ("color", "rgb", "left")
_REGISTERED_WORDS = ("aligned_depth", "registered")


@dataclass(frozen=True)
class Topics:
    """Names of the topics of a recording; None where the bag has none."""

    color: str | None = None
    info: str | None = None
    depth: str | None = None
    depth_info: str | None = None


def choose_topics(topics: Sequence[Topic], named: Topics) -> Topics:
    """Return the topics to read: those that are named, and guesses for the others.

    Args:
        topics: Topics of the bag.
        named: Names given by the user.

    Raises:
        CaptureError: A named topic is not in the bag, holds messages of another type, or none.
    """
    images = [topic for topic in topics if topic.kind in (IMAGE, COMPRESSED) and topic.count]
    infos = [topic for topic in topics if topic.kind == INFO and topic.count]
    for field in fields(Topics):
        kinds = (INFO,) if field.name.endswith("info") else (IMAGE, COMPRESSED)
        _check_named(f"--{field.name.replace('_', '-')}", getattr(named, field.name), kinds, topics)
    color = named.color or _best_color(images, infos)
    depth = named.depth or _best_depth(images, color)
    return Topics(
        color,
        named.info or (None if color is None else _sibling(color, infos)),
        depth,
        named.depth_info or (None if depth is None else _sibling(depth, infos)),
    )


def check_complete(chosen: Topics, topics: Sequence[Topic], place: str) -> tuple[str, str]:
    """Return the topics of colour and depth.

    Raises:
        CaptureError: The bag has no images of a kind, or no tf.
    """
    for option, name in (("--color", chosen.color), ("--depth", chosen.depth)):
        if name is None:
            images = [topic.name for topic in topics if topic.kind in (IMAGE, COMPRESSED)]
            raise CaptureError(
                f"{place} has no topic that is clearly for {option}: name one of its topics with images, of "
                f"which it has {', '.join(images) or 'none'}"
            )
    if not any(topic.kind in TF and topic.count for topic in topics):
        raise CaptureError(f"{place} has no tf: record /tf and /tf_static together with the images")
    assert chosen.color is not None
    assert chosen.depth is not None
    return chosen.color, chosen.depth


def format_topics(topics: Sequence[Topic], chosen: Topics) -> str:
    """Return a table of the topics with their types, counts, and what they are used for."""
    used = {getattr(chosen, field.name): f"--{field.name.replace('_', '-')}" for field in fields(Topics)}
    if chosen.info is not None and chosen.info == chosen.depth_info:
        used[chosen.info] = "--info, --depth-info"
    rows = [
        (topic.name, topic.kind, str(topic.count), "tf" if topic.kind in TF else used.get(topic.name, ""))
        for topic in topics
    ]
    widths = [max([len(row[column]) for row in rows], default=0) for column in range(3)]
    lines = (
        f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {count:>{widths[2]}}  {use}".rstrip()
        for name, kind, count, use in rows
    )
    return "\n".join(lines)


def _check_named(option: str, name: str | None, kinds: Sequence[str], topics: Sequence[Topic]) -> None:
    if name is None:
        return
    found = next((topic for topic in topics if topic.name == name), None)
    others = ", ".join(topic.name for topic in topics if topic.kind in kinds) or "none"
    wanted = " or ".join(kind.rpartition("/")[2] for kind in kinds)
    if found is None:
        raise CaptureError(f"{option} {name} is not in the bag: its topics with {wanted} are {others}")
    if found.kind not in kinds:
        raise CaptureError(
            f"{option} {name} holds {found.kind}: name a topic with {wanted}, of which it has {others}"
        )
    if not found.count:
        raise CaptureError(f"{option} {name} is empty: record it again, or name another of {others}")


def _best_color(images: Sequence[Topic], infos: Sequence[Topic]) -> str | None:
    def rank(topic: Topic) -> tuple[bool, bool, bool, int]:
        words = topic.name.lower()
        colored = any(word in words for word in _COLOR_WORDS)
        return (colored, _sibling(topic.name, infos) is not None, topic.kind == IMAGE, topic.count)

    barred = (*_DEPTH_WORDS, *_NO_COLOR_WORDS)
    offered = [topic for topic in images if not any(word in topic.name.lower() for word in barred)]
    return max(offered, key=rank).name if offered else None


def _best_depth(images: Sequence[Topic], color: str | None) -> str | None:
    def rank(topic: Topic) -> tuple[bool, int, bool, int]:
        words = topic.name.lower()
        registered = any(word in words for word in _REGISTERED_WORDS)
        together = 0 if color is None else _shared(topic.name, color)
        return (registered, together, topic.kind == IMAGE, topic.count)

    offered = [
        topic
        for topic in images
        if topic.name != color and any(word in topic.name.lower() for word in _DEPTH_WORDS)
    ]
    return max(offered, key=rank).name if offered else None


def _shared(name: str, other: str) -> int:
    """Return how many of their first parts two topics have in common, such as the camera's name."""
    alike = [a == b for a, b in zip(name.split("/")[:-1], other.split("/")[:-1], strict=False)]
    return (*alike, False).index(False)


def _sibling(image: str, infos: Sequence[Topic]) -> str | None:
    """Return the camera_info beside an image, where image_transport expects it."""
    parts = image.split("/")
    if parts[-1] in _TRANSPORTS:
        parts = parts[:-1]
    name = "/".join([*parts[:-1], "camera_info"])
    return name if any(topic.name == name for topic in infos) else None
