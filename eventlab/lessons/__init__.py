"""What the notebooks need and the library does not: exercises, counted traffic, lost answers."""

from eventlab.lessons.lossy import LossyProxy, lossy
from eventlab.lessons.traffic import Traffic, traffic

__all__ = ["LossyProxy", "Traffic", "lossy", "traffic"]
