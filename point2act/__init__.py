"""point2act: find and grasp the right thing from a sentence.

Posed images and the points that a vision-language model names in each of them become relevancy on 3D
Gaussians, a region to act on, and 6-DoF grasps. Importing this package imports no heavy library; using a
name does.
"""

import lazy_loader

from point2act.core.errors import Point2ActError as Point2ActError
from point2act.core.threads import configure_threads

# First, because torch reads the number of threads when it is imported.
configure_threads()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
