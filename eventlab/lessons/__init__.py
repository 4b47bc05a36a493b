"""What the notebooks need and the library does not: exercises, and a connection that loses answers."""

from eventlab.lessons.lossy import LossyProxy, lossy

__all__ = ["LossyProxy", "lossy"]
