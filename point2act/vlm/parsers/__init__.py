"""Parsers of the replies of pointing models, from text to pixels of the image that was shown, and back."""

from point2act.vlm.parsers.parse import DIALECTS, parse_anywhere, parse_reply
from point2act.vlm.parsers.units import qwen_input_size
from point2act.vlm.parsers.write import WRITTEN_DIALECTS, write_reply

__all__ = [
    "DIALECTS",
    "WRITTEN_DIALECTS",
    "parse_anywhere",
    "parse_reply",
    "qwen_input_size",
    "write_reply",
]
