"""A robot that writes a copy of a capture, one view at a time: SOURCE FOLDER VIEWS_PER_SECOND.

Prints the time, in seconds since the epoch, at which the capture was marked complete. Views that already
exist are not written again.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from point2act.data.capture import CaptureWriter, load_views, read_capture


def main() -> None:
    """Write the capture."""
    source, folder, rate = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    capture = read_capture(source)
    views = load_views(capture)
    with CaptureWriter(folder, T_base_world=capture.T_base_world) as writer:
        start = time.monotonic()
        left = [view for view in views if view.name not in writer.names]
        for number, view in enumerate(left):
            time.sleep(max(0.0, start + number / rate - time.monotonic()))
            writer.add(view)
    print(time.time(), flush=True)


if __name__ == "__main__":
    main()
