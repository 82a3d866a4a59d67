"""A page in the browser (viser): the scene, what was asked and found, and everything to play with.

A skin: it is handed a ``InteractiveSession``, which does all that is worked out.
"""

from point2act.visualization.viewer.serving import ViewerConfig
from point2act.visualization.viewer.viewer import Viewer

__all__ = ["Viewer", "ViewerConfig"]
