"""A small model that points: CLIP's architecture with about 0.1 million weights, trained from nothing.

The answer to a question is the patch of the picture that fits its text best, as in "Extract Free Dense Labels
from CLIP" (Zhou, Loy, Dai, ECCV 2022); the class token stands for "not visible".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from benchmarks.teach.scenes import COLORS, SIDE

_PATCH = 8
_SIDE = SIDE // _PATCH
"""Patches in a row."""
_WIDTH = 64
_WORDS = ("<start>", "the", "thing", *COLORS, "<end>")


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture, and for each question about it the points to answer, pixels; none for "not visible"."""

    rgb: UInt8[np.ndarray, "side side 3"]
    answers: Mapping[str, Float[np.ndarray, "n 2"]]


def make_pointer(seed: int) -> Any:
    """Return a network with random weights."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    layers = {"hidden_size": _WIDTH, "intermediate_size": 2 * _WIDTH, "num_attention_heads": 4}
    text = {"vocab_size": len(_WORDS), "max_position_embeddings": 8, "num_hidden_layers": 1}
    ends = {"bos_token_id": 0, "pad_token_id": 0, "eos_token_id": len(_WORDS) - 1}
    vision = {"image_size": SIDE, "patch_size": _PATCH, "num_hidden_layers": 2}
    torch.manual_seed(seed)
    return CLIPModel(
        CLIPConfig(
            text_config={**layers, **text, **ends},
            vision_config={**layers, **vision},
            projection_dim=_WIDTH,
        )
    ).eval()


def train_pointer(
    network: Any, samples: Sequence[Sample], *, steps: int, rate: float, seed: int, batch: int = 16
) -> float:
    """Train all weights; return the mean loss of the last tenth of the steps."""
    import torch
    from transformers import get_cosine_schedule_with_warmup

    rng, losses = np.random.default_rng(seed), []
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimizer, steps // 10, steps)
    network.train()
    for rows in _batches(len(samples), steps, batch, rng):
        loss = _loss(network, [samples[row] for row in rows])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    network.eval()
    return float(np.mean(losses[-max(1, steps // 10) :]))


def point(
    network: Any, images: Sequence[np.ndarray], questions: Sequence[str]
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the points (n, 2) of the answers to all questions about each image, none if not visible."""
    import torch

    for start in range(0, len(images), 32):
        with torch.inference_mode():
            scores = _scores(network, images[start : start + 32], questions)
            fractions = scores.softmax(dim=-1).numpy()
        for rows in fractions:
            yield {question: _peak(row) for question, row in zip(questions, rows, strict=True)}


def _scores(network: Any, images: Sequence[np.ndarray], questions: Sequence[str]) -> Any:
    """Return how well "not visible" and each patch (images, questions, 1 + patches) fit."""
    import torch
    from torch.nn.functional import normalize

    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    tokens = network.vision_model(pixel_values=pixels).last_hidden_state
    seen = normalize(network.visual_projection(network.vision_model.post_layernorm(tokens)), dim=-1)
    texts = network.text_model(input_ids=torch.tensor([_tokens(each) for each in questions])).pooler_output
    asked = normalize(network.text_projection(texts), dim=-1)
    return network.logit_scale.exp() * torch.einsum("ntd,qd->nqt", seen, asked)


def _tokens(question: str) -> list[int]:
    return [_WORDS.index(word) for word in ("<start>", *question.split(), "<end>")]


def _loss(network: Any, samples: Sequence[Sample]) -> Any:
    import torch

    questions = sorted({question for sample in samples for question in sample.answers})
    asked = [(row, question) for row, sample in enumerate(samples) for question in sample.answers]
    rows, columns = zip(*((row, questions.index(question)) for row, question in asked), strict=True)
    wanted = np.stack([_target(samples[row].answers[question]) for row, question in asked])
    scores = _scores(network, [sample.rgb for sample in samples], questions)[list(rows), list(columns)]
    return torch.nn.functional.cross_entropy(scores, torch.from_numpy(wanted).float())


def _target(points: np.ndarray) -> np.ndarray:
    """Return the fractions (1 + patches,) of "not visible" and of the four patches around each point."""
    target = np.zeros(1 + _SIDE**2)
    if not len(points):
        target[0] = 1
    for place in points / _PATCH - 0.5:
        corner = np.floor(place).astype(int)
        for step in np.ndindex(2, 2):
            column, row = (corner + step).clip(0, _SIDE - 1)
            target[1 + row * _SIDE + column] += np.prod(1 - np.abs(place - corner - step)) / len(points)
    return target


def _peak(fractions: np.ndarray) -> np.ndarray:
    """Return the mean place (1, 2) of the best patch and its neighbours, or none (0, 2)."""
    if fractions[0] > 0.5:
        return np.zeros((0, 2))
    row, column = divmod(int(fractions[1:].argmax()), _SIDE)
    rows, columns = np.mgrid[:_SIDE, :_SIDE]
    near = (np.abs(rows - row) <= 1) & (np.abs(columns - column) <= 1)
    places = np.stack([columns[near], rows[near]], axis=1) + 0.5
    return _PATCH * np.average(places, axis=0, weights=fractions[1:][near.ravel()])[None]


def _batches(count: int, steps: int, batch: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    left = np.zeros(0, dtype=int)
    for _ in range(steps):
        while len(left) < batch:
            left = np.concatenate([left, rng.permutation(count)])
        yield left[:batch]
        left = left[batch:]
