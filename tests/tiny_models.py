"""Real architectures of pointing models, tiny and with random weights, saved as a download would be.

Nothing is downloaded: configurations, tokenizers, image processors and chat templates are made here, and
saved so that transformers' Auto classes load them as they load a published model. They answer nonsense, but
through all the same code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForImageTextToText, PreTrainedTokenizerFast

QWEN_TOKENS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
MOLMO_TOKENS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<im_start>",
    "<im_end>",
    "<im_patch>",
    "<im_col>",
    "<low_res_im_start>",
    "<|image|>",
    "<im_low>",
    "<frame_start>",
    "<frame_end>",
    "<|video|>",
]
# Our own words for what the families' templates do: a turn's images and text in their order, then the answer.
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}IMAGE"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN_TEMPLATE = _TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
MOLMO_TEMPLATE = _TEMPLATE.replace("IMAGE", "<|image|>")

ROPE = {"rope_type": "default", "rope_theta": 10000.0}
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 8192,
    # Ten times the usual: what is shown and asked has to make a difference to what is answered.
    "initializer_range": 0.2,
}


def save_qwen2_vl(folder: Path) -> Path:
    """The family that writes boxes with special tokens."""
    from transformers import Qwen2VLConfig, Qwen2VLImageProcessor, Qwen2VLProcessor, Qwen2VLVideoProcessor

    tokenizer = _tokenizer(QWEN_TOKENS)
    config = Qwen2VLConfig(
        text_config=_text(
            tokenizer,
            rope_parameters={**ROPE, "mrope_section": [1, 1, 2]},
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        ),
        vision_config={"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2},
        **_qwen_ids(tokenizer),
    )
    parts = (Qwen2VLImageProcessor(), tokenizer, Qwen2VLVideoProcessor())
    return _save(folder, config, Qwen2VLProcessor(*parts, chat_template=QWEN_TEMPLATE))


def save_qwen2_5_vl(folder: Path) -> Path:
    """Patches of 14 pixels, merged by two: sides are multiples of 28."""
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer = _tokenizer(QWEN_TOKENS)
    config = Qwen2_5_VLConfig(
        text_config=_text(tokenizer, rope_parameters={**ROPE, "mrope_section": [1, 1, 2]}),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [1],
        },
        **_qwen_ids(tokenizer),
    )
    # min_pixels and max_pixels as the published preprocessor_config.json has them.
    image_processor = Qwen2VLImageProcessor(size={"shortest_edge": 3136, "longest_edge": 12845056})
    parts = (image_processor, tokenizer, Qwen2VLVideoProcessor())
    return _save(folder, config, Qwen2_5_VLProcessor(*parts, chat_template=QWEN_TEMPLATE))


def save_qwen3_vl(folder: Path) -> Path:
    """Patches of 16 pixels, merged by two, and features from several depths."""
    from transformers import Qwen2VLImageProcessor, Qwen3VLConfig, Qwen3VLProcessor, Qwen3VLVideoProcessor

    tokenizer = _tokenizer(QWEN_TOKENS)
    config = Qwen3VLConfig(
        text_config=_text(
            tokenizer,
            head_dim=8,
            rope_parameters={**ROPE, "mrope_section": [2, 1, 1], "mrope_interleaved": True},
        ),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        tie_word_embeddings=True,  # as the published models of 4 and 2 billion parameters have it
        **_qwen_ids(tokenizer),
    )
    # Sizes as the published preprocessor_config.json has them.
    image_processor = Qwen2VLImageProcessor(
        patch_size=16, size={"shortest_edge": 65536, "longest_edge": 16777216}
    )
    parts = (image_processor, tokenizer, Qwen3VLVideoProcessor())
    return _save(folder, config, Qwen3VLProcessor(*parts, chat_template=QWEN_TEMPLATE))


def save_molmo2(folder: Path) -> Path:
    """Overlapping crops of 378 pixels and one of the whole image; no resized input to speak of."""
    from transformers import Molmo2Config, Molmo2ImageProcessor, Molmo2Processor, Molmo2VideoProcessor

    tokenizer = _tokenizer(MOLMO_TOKENS)
    vision = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2, "num_key_value_heads": 2}
    vision["initializer_range"] = TEXT["initializer_range"]
    token = tokenizer.convert_tokens_to_ids
    config = Molmo2Config(
        text_config=_text(
            tokenizer,
            head_dim=8,
            # The image tokens lie in a second embedding, behind the words of the vocabulary.
            vocab_size=token(MOLMO_TOKENS[3]),
            additional_vocab_size=len(MOLMO_TOKENS) - 3,
            rope_parameters=ROPE,
        ),
        vision_config={**vision, "num_hidden_layers": 2, "head_dim": 16},
        adapter_config={**vision, "head_dim": 16, "text_hidden_size": 32, "vision_feature_layer": [1, 0]},
        image_start_token_id=token("<im_start>"),
        image_end_token_id=token("<im_end>"),
        image_patch_id=token("<im_patch>"),
        low_res_image_start_token_id=token("<low_res_im_start>"),
        frame_start_token_id=token("<frame_start>"),
        frame_end_token_id=token("<frame_end>"),
    )
    processor = Molmo2Processor(
        Molmo2ImageProcessor(max_crops=4), Molmo2VideoProcessor(), tokenizer, chat_template=MOLMO_TEMPLATE
    )
    return _save(folder, config, processor)


def _tokenizer(special: list[str]) -> PreTrainedTokenizerFast:
    """One token a byte, and the special ones behind them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={byte: k for k, byte in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=None, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )


def _text(tokenizer: PreTrainedTokenizerFast, **changes: Any) -> dict[str, Any]:
    return {**TEXT, "vocab_size": len(tokenizer), **changes}


def _qwen_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    names = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    return {key: tokenizer.convert_tokens_to_ids(name) for key, name in names.items()}


def _save(folder: Path, config: Any, processor: Any) -> Path:
    """Random weights, the same every time, and the sampling settings that Qwen publishes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = AutoModelForImageTextToText.from_config(config)
    tokenizer = processor.tokenizer
    settings = network.generation_config
    settings.do_sample, settings.temperature, settings.top_k, settings.top_p = True, 0.7, 20, 0.8
    settings.eos_token_id = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    settings.pad_token_id = tokenizer.pad_token_id
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_sam2(folder: Path) -> Path:
    """SAM 2: a segmenter, not a pointing model."""
    from transformers import (
        Sam2Config,
        Sam2HieraDetConfig,
        Sam2ImageProcessor,
        Sam2MaskDecoderConfig,
        Sam2Model,
        Sam2Processor,
        Sam2PromptEncoderConfig,
        Sam2VisionConfig,
    )

    torch.manual_seed(0)
    side = 128
    backbone = Sam2HieraDetConfig(
        hidden_size=8,
        num_attention_heads=1,
        image_size=[side, side],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[4, 4, 4, 4],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
        fpn_hidden_size=32,
    )
    config = Sam2Config(
        vision_config=vision,
        prompt_encoder_config=Sam2PromptEncoderConfig(hidden_size=32, image_size=side, patch_size=16),
        mask_decoder_config=Sam2MaskDecoderConfig(
            hidden_size=32, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=32
        ),
    )
    Sam2Model(config).save_pretrained(folder)
    size = {"height": side, "width": side}
    processor = Sam2ImageProcessor(size=size, mask_size={"height": side // 4, "width": side // 4})
    Sam2Processor(processor).save_pretrained(folder)
    return folder
