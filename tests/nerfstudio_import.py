"""Import of nerfstudio for tests, without its calls of ``inspect.stack``.

nerfstudio calls ``inspect.stack`` for each of its external methods, only for the name of one function. Under
pytest, with deep stacks and thousands of modules, that takes half a minute.
"""

from __future__ import annotations

import sys
import warnings
from types import SimpleNamespace
from unittest import mock


def _stack(context: int = 1) -> list[SimpleNamespace]:
    """Return the names of the calling functions, innermost first."""
    frame, names = sys._getframe(1), []
    while frame is not None:
        names.append(SimpleNamespace(function=frame.f_code.co_name))
        frame = frame.f_back
    return names


with warnings.catch_warnings(), mock.patch("inspect.stack", _stack):
    warnings.simplefilter("ignore")
    import nerfstudio.configs.external_methods
    import nerfstudio.configs.method_configs  # noqa: F401
