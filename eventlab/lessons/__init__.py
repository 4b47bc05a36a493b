"""Helpers for the notebooks only: exercises, widgets, traffic counts, lost replies, processes."""

from eventlab.lessons.crash_stepper import CrashStepper
from eventlab.lessons.crashing import run_and_crash
from eventlab.lessons.delivery_states import delivery_states
from eventlab.lessons.killing import Ended, consume, handle, project
from eventlab.lessons.lossy_proxy import LossyProxy, lossy, unreliable
from eventlab.lessons.processes import run_together, wait_for_start
from eventlab.lessons.progress import progress
from eventlab.lessons.rates import rates
from eventlab.lessons.step_race import StepRace
from eventlab.lessons.threads import Watcher, beside
from eventlab.lessons.time_slider import TimeSlider
from eventlab.lessons.traffic import Traffic, traffic

__all__ = [
    "CrashStepper",
    "Ended",
    "LossyProxy",
    "StepRace",
    "TimeSlider",
    "Traffic",
    "Watcher",
    "beside",
    "consume",
    "delivery_states",
    "handle",
    "lossy",
    "progress",
    "project",
    "rates",
    "run_and_crash",
    "run_together",
    "traffic",
    "unreliable",
    "wait_for_start",
]
