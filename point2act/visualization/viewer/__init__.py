"""Viewer in the browser (viser): the scene, the queries and their grasps, and controls for all of it.

Everything is computed by an ``InteractiveSession``; this package only draws.
"""

from point2act.visualization.viewer.serving import ViewerConfig
from point2act.visualization.viewer.viewer import Viewer

__all__ = ["Viewer", "ViewerConfig"]
