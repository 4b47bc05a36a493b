"""Stand-ins for what a lesson or a test needs and no machine has: a line that loses answers."""

from eventlab.sandbox.lossy import LossyProxy, lossy

__all__ = ["LossyProxy", "lossy"]
