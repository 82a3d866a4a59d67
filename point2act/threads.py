"""How the thread pools of torch and numba share the processor."""

from __future__ import annotations

import os


def configure_threads() -> None:
    """Let idle threads sleep, unless the environment already says otherwise.

    Call before torch and numba are imported for the full effect.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
