"""A small vision-language model that points: LLaVA's architecture with about a million weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.teach.scenes import COLORS, SIDE
from point2act.core.errors import ReplyError
from point2act.vlm.clients.client import PointingModel
from point2act.vlm.clients.weights import Weights, load_weights
from point2act.vlm.parsers import parse_reply, write_reply

DIALECT = "robopoint"
"""Writes every coordinate with the same number of digits."""
PROMPT = "Point to {query}."
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<image>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<image>",
)
_WORDS = (
    "Point",
    " to",
    " the",
    " thing",
    "user",
    "assistant",
    "[(0",
    "[(",
    "[]",
    "), (0",
    "), (",
    ", 0",
    ", ",
)
_PATTERN = r"\[\(0|\[\(|\[\]|\), \(0|\), \(|, 0|, |\)\]| ?[A-Za-z]+|\d|\.|\n"
_PATCH = 16
_WIDTH = 128
_DEPTH = 2
"""Layers of each of the two networks."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture, a colour, and the point to answer, pixels; None for "not visible"."""

    rgb: np.ndarray
    color: str
    point: tuple[float, float] | None


def save_pointer(folder: Path, seed: int) -> PointingModel:
    """Save a model with random weights as a download would be, and its file; return the model."""
    import torch

    processor = _processor()
    torch.manual_seed(seed)
    network = _network(processor.tokenizer)
    network.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    network.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return PointingModel(folder.name, str(folder), DIALECT, PROMPT, "10 MB", "made here", max_tokens=16)


def load_pointer(model: PointingModel) -> Weights:
    """Load a model as the product does."""
    return load_weights(model, device="cpu", dtype="float32", path=None)


def train_pointer(
    weights: Weights, samples: Sequence[Sample], *, steps: int, batch: int, rate: float, seed: int
) -> float:
    """Train all weights on moved pictures; return the mean loss of the last tenth of the steps."""
    import torch
    from transformers import get_cosine_schedule_with_warmup

    network, losses = weights.network.train(), []
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimizer, steps // 20, steps)
    for rows in _batches(len(samples), steps, batch, rng):
        inputs = _encode(weights.processor, [_moved(samples[row], rng) for row in rows])
        loss = network(**inputs).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    network.eval()
    return float(np.mean(losses[-max(1, steps // 10) :]))


def answers(weights: Weights, images: Sequence[np.ndarray], colors: Sequence[str]) -> list[np.ndarray]:
    """Return the points (n, 2) of greedy answers, one for each image and colour, none if unreadable."""
    import torch

    found = []
    for start in range(0, len(images), 128):
        part = slice(start, start + 128)
        samples = [Sample(*each, None) for each in zip(images[part], colors[part], strict=True)]
        inputs = _encode(weights.processor, samples, asked_only=True)
        with torch.inference_mode():
            written = weights.network.generate(**inputs, max_new_tokens=16)[:, inputs["input_ids"].shape[1] :]
        found += [_points(weights, row) for row in written.tolist()]
    return found


def _points(weights: Weights, row: list[int]) -> np.ndarray:
    stop = next((number for number, token in enumerate(row) if token in weights.ends), len(row))
    text = weights.processor.tokenizer.decode(row[:stop], skip_special_tokens=False)
    try:
        return np.array(parse_reply(text, DIALECT, image_size=(SIDE, SIDE)), dtype=float).reshape(-1, 2)
    except ReplyError:
        return np.zeros((0, 2))


def _encode(processor: Any, samples: Sequence[Sample], *, asked_only: bool = False) -> dict[str, Any]:
    """Return the inputs of all samples; with the answers as labels unless they are only asked."""
    texts = [_text(processor, sample, asked_only) for sample in samples]
    inputs = dict(
        processor(
            text=texts, images=[np.array(sample.rgb) for sample in samples], padding=True, return_tensors="pt"
        )
    )
    if not asked_only:
        ids = inputs["input_ids"]
        start = processor.tokenizer.convert_tokens_to_ids("assistant")
        answered = (ids == start).cumsum(dim=1).roll(1, dims=1).bool() & (inputs["attention_mask"] == 1)
        answered[:, 0] = False
        inputs["labels"] = ids.masked_fill(~answered, -100)
    return inputs


def _text(processor: Any, sample: Sample, asked_only: bool) -> str:
    question = PROMPT.format(query=f"the {sample.color} thing")
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
    ]
    if not asked_only:
        points = [] if sample.point is None else [sample.point]
        reply = write_reply(points, DIALECT, image_size=(SIDE, SIDE))
        turns.append({"role": "assistant", "content": [{"type": "text", "text": reply}]})
    return processor.apply_chat_template(turns, add_generation_prompt=asked_only)


def _moved(sample: Sample, rng: np.random.Generator) -> Sample:
    """Return a sample mirrored at random, and shifted with what leaves one side entering at the other.

    Without it a small set is learnt by heart: every label right, 6 % of the points on new tables.
    """
    mirrored, (dx, dy) = rng.random() < 0.5, rng.integers(0, SIDE, 2)
    rgb = np.roll(sample.rgb[:, ::-1] if mirrored else sample.rgb, (dy, dx), axis=(0, 1))
    if sample.point is None:
        return replace(sample, rgb=rgb)
    x, y = sample.point
    return replace(sample, rgb=rgb, point=(((SIDE - x if mirrored else x) + dx) % SIDE, (y + dy) % SIDE))


def _batches(count: int, steps: int, batch: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    left = np.zeros(0, dtype=int)
    for _ in range(steps):
        if len(left) < batch:
            left = np.concatenate([left, rng.permutation(count)])
        yield left[:batch]
        left = left[batch:]


def _processor() -> Any:
    from transformers import CLIPImageProcessor, LlavaProcessor

    size = {"height": SIDE, "width": SIDE}
    images = CLIPImageProcessor(size=size, crop_size=size)
    return LlavaProcessor(
        images,
        _tokenizer(),
        patch_size=_PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=_TEMPLATE,
    )


def _tokenizer() -> Any:
    """Words and digits."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<unk>", *_WORDS, *(f" {color}" for color in COLORS), ")]", ".", "\n", *"0123456789"]
    core = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(_PATTERN), behavior="isolated")
    core.decoder = decoders.Fuse()
    core.add_special_tokens(list(_SPECIAL))
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>", padding_side="left"
    )


def _network(tokenizer: Any) -> Any:
    """Return a network with random weights, and positions as waves, which a few steps can read."""
    import torch
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    layers = {
        "hidden_size": _WIDTH,
        "intermediate_size": 2 * _WIDTH,
        "num_hidden_layers": _DEPTH,
        "num_attention_heads": 4,
        "initializer_range": _WIDTH**-0.5,
    }
    network = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(**layers, image_size=SIDE, patch_size=_PATCH),
            text_config=LlamaConfig(
                **layers,
                vocab_size=len(tokenizer),
                max_position_embeddings=256,
                tie_word_embeddings=True,
                eos_token_id=tokenizer.eos_token_id,
            ),
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            vision_feature_layer=-1,
            vision_feature_select_strategy="default",
        )
    )
    positions = next(p for n, p in network.named_parameters() if n.endswith("position_embedding.weight"))
    with torch.no_grad():
        positions[1:] = torch.from_numpy(_waves(SIDE // _PATCH)).float()
    return network


def _waves(side: int) -> np.ndarray:
    """Return sines and cosines (side², width) of the rows and columns of a grid."""
    rates = np.pi * 2 ** np.linspace(0, 3, _WIDTH // 4)
    row, column = (axis.reshape(-1, 1) / side for axis in np.mgrid[:side, :side])
    return np.concatenate([wave(axis * rates) for axis in (row, column) for wave in (np.sin, np.cos)], axis=1)
