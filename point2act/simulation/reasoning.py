"""reasoning-tables: questions about simulated tables, explicit and implicit, about objects and parts.

Each question has one image and the mask of what is meant; some ask for what is not there. The images of an
arrangement are a capture, with depth, poses and the scene, so that questions can be answered in 3D.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from point2act.core import config_files
from point2act.core.errors import SimulationError
from point2act.core.files import replacing, write_text
from point2act.core.types import ProgressCallback
from point2act.data.capture import write_capture
from point2act.physics.scene import Scene, load_scene
from point2act.simulation.camera import SimView, WristConfig, render_views
from point2act.simulation.record import CaptureConfig, write_truth

QUESTIONS = "questions.jsonl"
OBJECTS = "objects"
"""Folder in a capture of images whose values number the objects, 0 for everything else."""


@dataclass(frozen=True)
class TablesConfig:
    """Size of the data set."""

    arrangements: int = 2
    """Number of arrangements of each scene's objects."""
    camera: WristConfig = field(default_factory=lambda: WristConfig(views=4, size=(480, 640), focal=600.0))
    """Camera, and number of images of each arrangement."""
    min_pixels: int = 80
    """Minimum number of pixels of what is asked for."""


@dataclass(frozen=True)
class Thing:
    """Words for an object of a scene."""

    scene: str
    key: str
    """Name in the scene file."""
    name: str
    use: str
    kinds: tuple[str, ...]
    """Kinds of things that serve the use, its own first."""
    parts: Mapping[str, tuple[str, str]]
    """Name of each part, and words for it that do not name it."""
    may_have: tuple[str, ...] = ()
    """Parts that it has in life, though not in the scene file."""


@dataclass(frozen=True)
class Wording:
    """A question before an image is chosen."""

    text: str
    category: str
    scene: str
    thing: str = ""
    """Object that is meant; empty for what is not there."""
    part: str = ""
    """Part that is meant; empty for the whole object."""


@dataclass(frozen=True)
class Catalogue:
    """Words for the objects of all scenes."""

    things: tuple[Thing, ...]
    templates: Mapping[str, Sequence[str]]
    absent_parts: tuple[str, ...]
    development: tuple[str, ...]

    @property
    def scenes(self) -> tuple[str, ...]:
        """Names of the scenes, in the order of the file."""
        return tuple(dict.fromkeys(thing.scene for thing in self.things))

    def of_scene(self, scene: str) -> tuple[Thing, ...]:
        """Return the objects of a scene."""
        return tuple(thing for thing in self.things if thing.scene == scene)


def read_catalogue(name: str | Path = "reasoning") -> Catalogue:
    """Read a file of words by its shipped name, or by a path ending in ``.toml``.

    Raises:
        SimulationError: The file cannot be read, or lacks something.
    """
    path, table = config_files.load("questions", name, SimulationError)
    try:
        things = tuple(
            _thing(scene, key, entry)
            for scene, entries in table["scenes"].items()
            for key, entry in entries.items()
        )
        return Catalogue(
            things, table["templates"], tuple(table["absent_parts"]), tuple(table["development"])
        )
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise SimulationError(f"{path} lacks {err}: compare with the shipped file") from err


def _thing(scene: str, key: str, entry: Mapping[str, Any]) -> Thing:
    parts = {part: (str(name), str(need)) for part, (name, need) in entry["parts"].items()}
    may_have = tuple(entry.get("may_have", ()))
    return Thing(scene, key, entry["name"], entry["use"], tuple(entry["kinds"]), parts, may_have)


def word_questions(catalogue: Catalogue, seed: int) -> tuple[Wording, ...]:
    """Return all questions about all scenes, the same for the same seed.

    Each object is asked for by its name and by its use, each part by its name and by what it is for, and each
    object stands for one question of each of the four kinds about something that is not there.
    """
    rng = np.random.default_rng(seed)
    return tuple(wording for thing in catalogue.things for wording in _about(thing, catalogue, rng))


def _about(thing: Thing, catalogue: Catalogue, rng: np.random.Generator) -> Iterator[Wording]:
    templates = catalogue.templates
    for style in ("explicit", "implicit"):
        for template in templates[f"{style}_object"]:
            yield Wording(_fill(template, thing), f"{style} object", thing.scene, thing.key)
        for part in thing.parts:
            text = _fill(_one(templates[f"{style}_part"], rng), thing, part)
            yield Wording(text, f"{style} part", thing.scene, thing.key, part)
    yield from _absent(thing, catalogue, rng)


def _absent(thing: Thing, catalogue: Catalogue, rng: np.random.Generator) -> Iterator[Wording]:
    """Yield questions about objects of other scenes, and about parts that an object does not have."""
    templates = catalogue.templates
    here = {other.kinds[0] for other in catalogue.of_scene(thing.scene)}
    unnamed = [other for other in catalogue.things if other.kinds[0] not in here]
    useless = [other for other in unnamed if not here & set(other.kinds)]
    with_parts = [other for other in useless if other.parts]
    named, used, held = (_one(others, rng) for others in (unnamed, useless, with_parts))
    yield Wording(_fill(_one(templates["explicit_object"], rng), named), "absent object", thing.scene)
    yield Wording(_fill(_one(templates["implicit_object"], rng), used), "absent object", thing.scene)
    part = _one(sorted(held.parts), rng)
    yield Wording(_fill(_one(templates["implicit_part"], rng), held, part), "absent part", thing.scene)
    names = {name for name, _ in thing.parts.values()}
    missing = [name for name in catalogue.absent_parts if name not in names and name not in thing.may_have]
    text = _one(templates["explicit_part"], rng).format(name=thing.name, part=_one(missing, rng))
    yield Wording(text, "absent part", thing.scene)


def _fill(template: str, thing: Thing, part: str = "") -> str:
    name, need = thing.parts[part] if part else ("", "")
    return template.format(name=thing.name, use=thing.use, part=name, need=need)


def _one(choices: Sequence[Any], rng: np.random.Generator) -> Any:
    return choices[int(rng.integers(len(choices)))]


# ── images ─────────────────────────────────────────────────────────────────────────────────────
def write_reasoning_tables(
    folder: Path | str,
    *,
    seed: int = 0,
    config: TablesConfig = TablesConfig(),
    catalogue: Catalogue | None = None,
    progress: ProgressCallback | None = None,
) -> int:
    """Render the scenes and write questions.jsonl, images and masks; the same for the same seed.

    Args:
        folder: Folder to write.
        seed: Seed of wordings, arrangements, cameras and noise.
        config: Size of the data set.
        catalogue: Words for the objects; by default the shipped ones.
        progress: Called with the number of scenes that were rendered, and of all.

    Returns:
        The number of questions.

    Raises:
        SimulationError: A scene cannot be rendered.
    """
    folder, catalogue = Path(folder), catalogue or read_catalogue()
    wordings, lines = word_questions(catalogue, seed), []
    for number, scene in enumerate(catalogue.scenes):
        split = "development" if scene in catalogue.development else "test"
        asked = [wording for wording in wordings if wording.scene == scene]
        for entry in _ask_about(scene, asked, folder, config, np.random.default_rng([seed, number])):
            lines.append(json.dumps(entry | {"split": split}))
        if progress is not None:
            progress(number + 1, len(catalogue.scenes))
    # Last: a folder without it is not finished.
    write_text(folder / QUESTIONS, "".join(f"{line}\n" for line in lines))
    return len(lines)


def _ask_about(
    name: str, wordings: Sequence[Wording], folder: Path, config: TablesConfig, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """Render a scene, and yield the questions that can be seen in an image."""
    shots: list[tuple[str, Scene, SimView]] = []
    for number in range(config.arrangements):
        scene, capture = load_scene(name, int(rng.integers(2**31))), f"{name}_{number}"
        views = render_views(scene, config.camera, rng)
        _write_capture(folder / capture, scene, views, config)
        shots += [(capture, scene, view) for view in views]
    for number, wording in enumerate(wordings):
        masks = [_mask(scene, view, wording) for _, scene, view in shots]
        fitting = [i for i, mask in enumerate(masks) if not wording.thing or mask.sum() >= config.min_pixels]
        if not fitting:
            continue
        chosen, own = int(_one(fitting, rng)), f"{name}-{number:03d}"
        capture, image = shots[chosen][0], shots[chosen][2].view.name
        entry: dict[str, Any] = {"id": own, "image": f"{capture}/{image}", "mask": None}
        if wording.thing:
            entry["mask"] = f"masks/{own}.png"
            _save(folder / entry["mask"], (255 * masks[chosen]).astype(np.uint8))
        entry |= {"text": wording.text, "category": wording.category}
        entry |= {"capture": capture, "objects": f"{capture}/{OBJECTS}/{Path(image).name}"}
        yield entry | {"object": wording.thing, "part": wording.part}


def _write_capture(folder: Path, scene: Scene, views: Sequence[SimView], config: TablesConfig) -> None:
    """Write the images of an arrangement as a capture with its scene, and images of its objects."""
    write_capture(folder, [view.view for view in views], T_base_world=scene.T_base_world)
    write_truth(folder, scene, CaptureConfig(wrist=config.camera), views)
    names = [thing.name for thing in scene.layout.bodies]
    numbers = np.array([*(1 + names.index(thing) for thing, _ in scene.parts), 0], np.uint8)
    for view in views:
        _save(folder / OBJECTS / Path(view.view.name).name, numbers[view.part_ids])


def _mask(scene: Scene, shot: SimView, wording: Wording) -> np.ndarray:
    """Return where the object or part that is meant can be seen."""
    wanted = [
        index
        for index, (thing, part) in enumerate(scene.parts)
        if thing == wording.thing and wording.part in ("", part)
    ]
    return np.isin(shot.part_ids, wanted)


def _save(path: Path, pixels: np.ndarray) -> None:
    with replacing(path) as draft:
        Image.fromarray(pixels).save(draft, "png")
