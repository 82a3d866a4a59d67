"""How pointing models write points: from a model's reply to pixels of the image that it was shown."""

from point2act.dialects.parse import DIALECTS, parse_reply
from point2act.dialects.units import qwen_input_size

__all__ = ["DIALECTS", "parse_reply", "qwen_input_size"]
