"""Helpers for the notebooks only: exercises, counted traffic, lost replies, processes."""

from eventlab.lessons.crashing import run_and_crash
from eventlab.lessons.killing import Ended, consume, handle, project
from eventlab.lessons.lossy_proxy import LossyProxy, lossy, unreliable
from eventlab.lessons.processes import run_together, wait_for_start
from eventlab.lessons.rates import rates
from eventlab.lessons.traffic import Traffic, traffic

__all__ = [
    "Ended",
    "LossyProxy",
    "Traffic",
    "consume",
    "handle",
    "lossy",
    "project",
    "rates",
    "run_and_crash",
    "run_together",
    "traffic",
    "unreliable",
    "wait_for_start",
]
