"""Examples as the chat formats of trainers, with the answers of the model that is to be taught.

The formats are those of TRL (columns ``images`` and ``messages``), of ms-swift (``messages``, ``images`` and
``objects``) and of LLaVA and LLaMA-Factory (``image`` and ``conversations``, also called sharegpt).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from point2act.core.files import write_text
from point2act.teaching.plans import step_prompt
from point2act.vlm.parsers import write_reply
from point2act.vlm.pointing.task_planner import plan_prompt

if TYPE_CHECKING:
    from point2act.teaching.documents import Example
else:
    Example = Any

Format = Literal["trl", "ms-swift", "llava"]
FORMATS: tuple[str, ...] = get_args(Format)

PROMPT = "Point to {query}. If it is not visible in the image, say that there is none."
"""Question to a model without a file of its own."""

# ms-swift replaces <bbox> by a list of numbers in the scale of the model that it trains, whose input size it
# alone knows.
_SWIFT_POINT = '{"point_2d": <bbox>, "label": "target"}'
_SWIFT_DIALECTS = ("qwen2_5_vl", "qwen3_vl")


@dataclass(frozen=True)
class Pupil:
    """How the model that is to be taught is asked, and how it answers."""

    dialect: str
    """One of ``WRITTEN_DIALECTS``."""
    prompt: str = PROMPT
    """Question with the field ``{query}``."""


@dataclass(frozen=True)
class _Turn:
    """A question about an image and its answer."""

    image: str
    question: str
    answer: str


def export_examples(
    examples: Sequence[Example], folder: Path, output: Path, *, form: Format, pupil: Pupil
) -> dict[str, int]:
    """Write train.jsonl and held_out.jsonl.

    Args:
        examples: The examples.
        folder: Folder of the data set; files name its images by absolute paths.
        output: Folder to write to.
        form: Format to write.
        pupil: Model that is to be taught.

    Returns:
        The number of lines of each file.
    """
    counts = {}
    for split in ("train", "held_out"):
        lines = [as_chat(each, folder, form=form, pupil=pupil) for each in examples if each.split == split]
        text = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)
        write_text(output / f"{split}.jsonl", text)
        counts[split] = len(lines)
    return counts


def as_chat(example: Example, folder: Path, *, form: Format, pupil: Pupil) -> dict[str, Any]:
    """Return an example as a line of a trainer's file, see ``export_examples``."""
    turn = _Turn(str((folder / example.image).resolve()), _question(example, pupil), _answer(example, pupil))
    return _WRITERS[form](example, turn, pupil)


def _question(example: Example, pupil: Pupil) -> str:
    if example.kind == "plan":
        return plan_prompt(example.question, images=1)
    if example.kind == "step":
        return step_prompt(example.question, example.done)
    return pupil.prompt.format(query=example.question).strip()


def _answer(example: Example, pupil: Pupil) -> str:
    if example.reply is not None:
        return example.reply
    return write_reply(example.points, pupil.dialect, image_size=(example.height, example.width))


def _trl(example: Example, turn: _Turn, pupil: Pupil) -> dict[str, Any]:
    asked = [{"type": "image"}, {"type": "text", "text": turn.question}]
    answered = [{"type": "text", "text": turn.answer}]
    return {
        "images": [turn.image],
        "messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}],
    }


def _swift(example: Example, turn: _Turn, pupil: Pupil) -> dict[str, Any]:
    """Return a line in which ms-swift itself scales the points of models that it knows."""
    scaled = pupil.dialect in _SWIFT_DIALECTS and bool(example.points)
    answer = f"[{', '.join([_SWIFT_POINT] * len(example.points))}]" if scaled else turn.answer
    line: dict[str, Any] = {
        "messages": [
            {"role": "user", "content": f"<image>{turn.question}"},
            {"role": "assistant", "content": answer},
        ],
        "images": [turn.image],
    }
    if scaled:
        points = [list(point) for point in example.points]
        line["objects"] = {"ref": [], "bbox": points, "bbox_type": "real"}
    return line


def _llava(example: Example, turn: _Turn, pupil: Pupil) -> dict[str, Any]:
    return {
        "id": example.id,
        "image": turn.image,
        "conversations": [
            {"from": "human", "value": f"<image>\n{turn.question}"},
            {"from": "gpt", "value": turn.answer},
        ],
    }


_WRITERS: dict[str, Callable[[Example, _Turn, Pupil], dict[str, Any]]] = {
    "trl": _trl,
    "ms-swift": _swift,
    "llava": _llava,
}
