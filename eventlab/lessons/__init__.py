"""Helpers for the notebooks only: exercises, counted traffic, lost replies."""

from eventlab.lessons.lossy_proxy import LossyProxy, lossy
from eventlab.lessons.traffic import Traffic, traffic

__all__ = ["LossyProxy", "Traffic", "lossy", "traffic"]
