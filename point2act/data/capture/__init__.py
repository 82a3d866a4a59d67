"""A folder of posed images, nerfstudio's ``transforms.json``, read, loaded, written and watched."""

from point2act.data.capture.load import (
    disk_to_view,
    load_view,
    load_views,
    read_image,
    shrink_view,
    view_to_disk,
)
from point2act.data.capture.read import read_capture
from point2act.data.capture.watch import Arrived, watch_capture
from point2act.data.capture.write import write_capture
from point2act.data.capture.writer import CaptureWriter

__all__ = [
    "Arrived",
    "CaptureWriter",
    "disk_to_view",
    "load_view",
    "load_views",
    "read_capture",
    "read_image",
    "shrink_view",
    "view_to_disk",
    "watch_capture",
    "write_capture",
]
