"""A folder of posed images, nerfstudio's ``transforms.json``, read, loaded and written."""

from point2act.capture.load import disk_to_view, load_view, load_views, view_to_disk
from point2act.capture.read import read_capture
from point2act.capture.write import write_capture

__all__ = ["disk_to_view", "load_view", "load_views", "read_capture", "view_to_disk", "write_capture"]
