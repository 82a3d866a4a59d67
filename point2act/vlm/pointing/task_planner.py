"""Task planning: a model turns an instruction into steps, and each step into queries to be located."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from point2act.core.errors import ModelError
from point2act.core.types import Capture, Plan
from point2act.data.capture import load_view
from point2act.data.task_plan import MAX_STEPS, MAX_TARGETS, parse_plan
from point2act.vlm.clients.cache import ReplyCache
from point2act.vlm.clients.client import ModelClient, Reply, Request
from point2act.vlm.pointing.corrected_reply import ask_until_readable

# Tokens. A target takes about 60; the rest is for models that reason first. Chosen.
_MAX_TOKENS = 4096
# Views of the scene that a planner gets, and their longer side in pixels: a table from all sides, large
# enough to distinguish a mug from a cup, at about a thousand tokens in all.
_VIEWS = 4
_SIDE = 640

# Unlike typical instructions, so that the model does not copy it.
EXAMPLE_INSTRUCTION = "I am done cutting the ribbon."
EXAMPLE = {
    "steps": [
        {
            "action": "pick up the scissors",
            "targets": [
                {
                    "object": "red scissors",
                    "part": "finger loops",
                    "role": "grasp",
                    "reason": "Made to be held.",
                },
                {"object": "red scissors", "part": "blades", "role": "avoid", "reason": "Sharp and pointed."},
            ],
        },
        {
            "action": "put the scissors away",
            "targets": [
                {
                    "object": "pencil tray",
                    "part": "empty compartment",
                    "role": "place",
                    "reason": "Free, flat and wide enough for the scissors.",
                }
            ],
        },
    ]
}

_PROMPT = """\
A robot with one arm and a two-finger gripper has to do what a person wants. {seen}
Plan the robot's steps, and for each step name what has to be found in the scene to do it.

The person wants: {instruction}

For every target write
- "object": the whole thing, in plain English words that distinguish it from everything else in the scene,
  such as "blue mug" or "left drawer".
- "part": the exact place on the object that is meant: the smallest part that can be seen and that has a name,
  such as "handle", "rim", "lid" or "top of the backrest". null if it is all of the object.
- "role": "grasp" for what the fingers close on; "place" for the free surface on which the thing in the
  gripper is set down; "avoid" for what the gripper must keep away from: what is hot, sharp, wet, fragile or
  alive, what would hurt the robot, a person or the thing itself, and what a person will need free.
- "reason": one short sentence.

Rules
- Work out what is meant where it is not stated: which thing serves the purpose, and where on it a careful
  person would take hold of it.
- Call an object by the same words in every step, and name no part of it twice within a step.
- No more than is needed: only steps that act on the scene, at most {steps}, most often one or two; at most
  {targets} targets a step. Something has to be grasped or placed.
- Reply with one JSON object that follows this JSON Schema, and with nothing else:
{schema}

For {example_instruction} a good reply would be:
{example}
"""


def plan(
    client: ModelClient,
    instruction: str,
    *,
    model_name: str,
    images: Sequence[UInt8[np.ndarray, "_h _w 3"]] = (),
    cache: ReplyCache | None = None,
) -> Plan:
    """Have a model divide an instruction into steps, each with the targets that have to be located for it.

    An unreadable first reply is shown to the model with its error, and the model is asked once more.
    Models trained mainly to point (Molmo, RoboPoint) plan badly or not at all: use a general one (Qwen3-VL,
    Gemini) for the plan, and any for the points.

    Args:
        client: The client of the model.
        instruction: Task in plain language.
        model_name: Name of the model that is written into the plan.
        images: A few RGB images of the scene; without them the model has to guess what is there.
        cache: Cache of replies; None to always send the request.

    Raises:
        ModelError: The instruction is empty, or there is no reply.
        ReplyError: The second reply is unreadable, too.
    """
    instruction = instruction.strip()
    if not instruction:
        raise ModelError('the instruction is empty: write what is wanted, such as "bring me the mug"')
    from point2act.data.plan_reply import reply_schema

    prompt = plan_prompt(instruction, images=len(images))
    request = Request(prompt, tuple(images), reply_schema(), _MAX_TOKENS)

    def read(reply: Reply) -> Plan:
        return parse_plan(reply.text, instruction, model=model_name)

    return ask_until_readable(client, request, read, attempts=2, cache=cache)


def scene_images(capture: Capture) -> list[UInt8[np.ndarray, "_h _w 3"]]:
    """Return a few views that are evenly spread over a capture."""
    count = len(capture.frames)
    # The middles of equal intervals: the first and the last view of a round trip are the same.
    picked = ((np.arange(min(_VIEWS, count)) + 0.5) * count / min(_VIEWS, count)).astype(int)
    return [load_view(capture, capture.frames[number], max_side=_SIDE).rgb for number in picked]


def scene_sentence(images: int) -> str:
    """Return a sentence for a prompt about the images that come before it, given their number."""
    if images == 0:
        return "You cannot see the scene: plan for what is most likely there."
    if images == 1:
        return "The image shows the scene: plan with what is there."
    return f"The {images} images show the scene from different sides: plan with what is there."


def plan_prompt(instruction: str, *, images: int) -> str:
    """Return the prompt that asks for a plan.

    Args:
        instruction: Task in plain language.
        images: Number of images of the scene that come before the prompt.
    """
    from point2act.data.plan_reply import reply_schema

    return _PROMPT.format(
        seen=scene_sentence(images),
        instruction=json.dumps(" ".join(instruction.split()), ensure_ascii=False),
        steps=MAX_STEPS,
        targets=MAX_TARGETS,
        schema=json.dumps(reply_schema()),
        example_instruction=json.dumps(EXAMPLE_INSTRUCTION),
        example=json.dumps(EXAMPLE),
    )
