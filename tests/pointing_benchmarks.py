"""Data sets in the published layouts of four pointing benchmarks, with random images, masks and replies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SIZES = ((48, 64), (60, 40), (30, 90))
CATEGORIES = ("affordable", "counting", "spatial", "reasoning", "steerable")


def ellipse(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A mask, 255 in an ellipse somewhere."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    middle, radii = rng.random(2) * size, (0.15 + 0.3 * rng.random(2)) * size
    inside = ((y - middle[0]) / radii[0]) ** 2 + ((x - middle[1]) / radii[1]) ** 2 < 1
    return (255 * inside).astype(np.uint8)


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def picture(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    return rng.integers(0, 256, (*size, 3), dtype=np.uint8)


def write_where2place(folder: Path, rng: np.random.Generator, count: int) -> list[object]:
    lines = []
    for number in range(count):
        size = SIZES[number % 3]
        save(folder / "images" / f"{number:02d}.jpg", picture(rng, size))
        save(folder / "masks" / f"{number:02d}.jpg", ellipse(rng, size))
        text = "Find a few spots on the free part. Your answer should be formatted as a list of tuples."
        # The ids are not the masks' numbers.
        lines.append(
            {
                "question_id": 100 + number,
                "image": f"{number:02d}.jpg",
                "text": text,
                "category": f"c{number % 2}",
            }
        )
    (folder / "point_questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [line["question_id"] for line in lines]


def write_refspatial(folder: Path, rng: np.random.Generator, count: int) -> list[object]:
    ids: list[object] = []
    for place in ("Location", "Placement", "Unseen"):
        entries = []
        for number in range(count // 3):
            size = SIZES[number % 3]
            mask = ellipse(rng, size)
            save(folder / place / "image" / f"{number}.png", picture(rng, size))
            # Grey is in the mask; some masks have three channels, of which the first counts.
            mask = np.where(mask > 0, rng.integers(1, 256, size), 0).astype(np.uint8)
            mask = mask if number % 2 else np.stack([mask, 255 - mask, mask], axis=-1)
            save(folder / place / "mask" / f"{number}.png", mask)
            entry = {"id": number, "object": "the cup", "prompt": "Please point to the cup.", "step": 1}
            entry |= {
                "suffix": "Your answer should be formatted as a list of tuples.",
                "category": place.lower(),
            }
            entries.append(entry | {"rgb_path": f"image/{number}.png", "mask_path": f"mask/{number}.png"})
            ids.append(f"{place}/{number}")
        (folder / place / "question.json").write_text(json.dumps(entries))
    return ids


def write_pointbench(folder: Path, rng: np.random.Generator, count: int) -> list[object]:
    entries: list[dict[str, object]] = []
    for number in range(count):
        size, category = SIZES[number % 3], CATEGORIES[number % 5]
        mask = ellipse(rng, size)
        # Above 127 counts, in any channel.
        mask = np.where(mask > 0, 128, 127).astype(np.uint8)
        mask = mask if number % 2 else np.stack([np.full_like(mask, 9), mask, mask], axis=-1)
        save(folder / "images" / category / f"{number}.png", picture(rng, size))
        save(folder / "masks" / f"{number}_mask.png", mask)
        entry: dict[str, object] = {"image_filename": f"{number}.png", "mask_filename": f"{number}_mask.png"}
        entry |= {"category": category, "user_input": "Point to all the cups."}
        entries.append(entry | ({"count": 1 + number // 5 % 2} if category == "counting" else {}))
    entries.insert(
        1, {"image_filename": "without.png", "category": "spatial", "user_input": "Not annotated."}
    )
    (folder / "data.json").write_text(json.dumps(entries))
    (folder / "pixmo_metadata.csv").write_text(
        'image_filename,points\n4.png,"[{""x"": 50.0, ""y"": 25.0}]"\nother.png,[]\n'
    )
    return [entry["image_filename"] for entry in entries if "mask_filename" in entry]


def write_robospatial(folder: Path, rng: np.random.Generator, count: int) -> list[object]:
    entries, ids = [], []
    for number in range(count):
        name = f"images/img_context_{number}.png"
        save(folder / name, picture(rng, SIZES[number % 3]))
        angles = np.sort(rng.random(int(rng.integers(3, 8)))) * 2 * np.pi
        middle, radius = 0.3 + 0.4 * rng.random(2), 0.1 + 0.3 * rng.random(len(angles))
        corners = np.clip(middle + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1), 0, 1)
        answer = str([(round(float(x), 3), round(float(y), 3)) for x, y in corners])
        entry = {"category": "context", "question": "Pinpoint points in the free space.", "answer": answer}
        ids.append(len(entries))
        entries.append(entry | {"img": name, "depth_image": None, "mask": None})
        if number % 3 == 0:
            other = {"category": "compatibility", "question": "Does it fit?", "answer": "Yes", "img": name}
            entries.append(other | {"depth_image": None, "mask": None})
    (folder / "annotations.json").write_text(json.dumps(entries))
    return list(ids)


WRITERS: dict[str, Callable[[Path, np.random.Generator, int], list[object]]] = {
    "where2place": write_where2place,
    "refspatial": write_refspatial,
    "pointbench": write_pointbench,
    "robospatial": write_robospatial,
}


def write_data_set(kind: str, folder: Path, *, seed: int = 0, count: int = 15) -> list[object]:
    """Write a data set; gives the ids of its questions about points, in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    return WRITERS[kind](folder, np.random.default_rng(seed), count)


# ── replies ────────────────────────────────────────────────────────────────────────────────────
PROSE = ("I cannot find it.", "[]", "", "The cup is on the left, at about 30 cm.", "(0.5 0.5)", "(1, 2, 3)")


def reply_in_tuples(rng: np.random.Generator) -> str:
    """A reply as RoboPoint may give it: fractions, pixels, boxes, outside, negative, nothing."""
    parts = []
    for _ in range(int(rng.integers(1, 4))):
        x, y = -0.1 + 1.2 * rng.random(2)
        w, h = -0.05 + 0.5 * rng.random(2)
        forms = (
            f"({x:.3f}, {y:.3f})",
            f"({x:.2f},{y:.2f})",
            f"({int(90 * x)}, {int(60 * y)})",
            f"({int(x)}, {y:.3f})",
            f"({x:.3f}, {y:.3f}, {x + w:.3f}, {y + h:.3f})",
            f"({abs(x):.2f}, {int(y)}, {abs(x) + w:.2f}, {int(y + h)})",
            f"({int(x)}, {y:.3f}, {x + w:.3f}, {y + h:.3f})",
            f"({int(60 * x)}, {int(50 * y)}, {int(60 * (x + w))}, {int(50 * (y + h))})",
        )
        parts.append(forms[int(rng.choice(len(forms), p=[0.3, 0.1, 0.2, 0.05, 0.2, 0.05, 0.05, 0.05]))])
    return f"The answer: [{', '.join(parts)}]"


def reply_in_first_pair(rng: np.random.Generator) -> str:
    """A reply to RoboSpatial."""
    x, y = 1.1 * rng.random(2)
    forms = (f"[({x:.3f}, {y:.3f}), (0.5, 0.5)]", f"It is at [{x:.2f},{y:.2f}].", f"({int(90 * x)}, 12)")
    return str(rng.choice([*forms[:1] * 4, *forms[1:]]))


def points_of(rng: np.random.Generator) -> np.ndarray:
    return np.round(1.05 * rng.random((int(rng.integers(1, 3)), 2)), 3)


def reply_in_tags(rng: np.random.Generator) -> str:
    """A reply of Molmo with numbered points."""
    points = 100 * points_of(rng)
    pairs = " ".join(f'x{n}="{x:.1f}" y{n}="{y:.1f}"' for n, (x, y) in enumerate(points, start=1))
    return f'<points {pairs} alt="cups">cups</points>'


def reply_of_gemini(rng: np.random.Generator) -> str:
    """A fenced reply of Gemini, y first."""
    points = [{"point": [round(1000 * y), round(1000 * x)], "label": "cup"} for x, y in points_of(rng)]
    return f"```json\n{json.dumps(points)}\n```"


def reply_in_pixels(rng: np.random.Generator) -> str:
    """A reply to Point-Bench's prompt for general models."""
    points = [{"point": [round(64 * x, 1), round(48 * y)]} for x, y in points_of(rng)]
    return f"Here you are: {json.dumps(points)}"


def some_replies(
    writer: Callable[[np.random.Generator], str], count: int, *, seed: int, prose: float = 0.15
) -> list[str | None]:
    """Replies, among them some without points, and a few missing answers."""
    rng = np.random.default_rng(seed)
    replies: list[str | None] = []
    for _ in range(count):
        kind = rng.random()
        text = writer(rng) if kind > prose else str(rng.choice(PROSE))
        replies.append(None if kind < 0.05 else text)
    return replies
