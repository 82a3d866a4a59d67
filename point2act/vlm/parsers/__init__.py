"""Parsers of the replies of pointing models, from text to pixels of the image that was shown."""

from point2act.vlm.parsers.parse import DIALECTS, parse_anywhere, parse_reply
from point2act.vlm.parsers.units import qwen_input_size

__all__ = ["DIALECTS", "parse_anywhere", "parse_reply", "qwen_input_size"]
