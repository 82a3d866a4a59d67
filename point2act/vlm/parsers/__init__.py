"""How pointing models write points: from a model's reply to pixels of the image that it was shown."""

from point2act.vlm.parsers.parse import DIALECTS, parse_reply
from point2act.vlm.parsers.units import qwen_input_size

__all__ = ["DIALECTS", "parse_reply", "qwen_input_size"]
