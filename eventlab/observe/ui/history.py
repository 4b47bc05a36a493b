"""The lag of views over time, which a thread samples and keeps in memory."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Self

from eventlab.observe.lag import ViewState
from eventlab.store.answers import SERVER_ERRORS, server

SECONDS: Final = 5.0  # between two samples
SAMPLES: Final = 720  # an hour
MIN_STEPS: Final = 60  # of the chart: five minutes
WIDTH: Final = 720
HEIGHT: Final = 96

Name = tuple[str, str]


@dataclass
class ViewHistory:
    """The newest state of a view, and its lag in events at each sample (None is a gap)."""

    state: ViewState
    lags: deque[int | None] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    @property
    def highest(self) -> int:
        """The highest lag of all samples."""
        return max((lag for lag in self.lags if lag is not None), default=0)

    @property
    def seconds(self) -> float:
        """The time that the samples cover, in seconds."""
        return max(0, len(self.lags) - 1) * SECONDS

    @property
    def span(self) -> str:
        """The time that the chart shows, as text."""
        return f"{self._steps * SECONDS / 60:.0f} minutes"

    @property
    def _steps(self) -> int:
        return max(MIN_STEPS, len(self.lags) - 1)

    def lines(self) -> list[str]:
        """Return the points of SVG polylines, one polyline for each part without a gap.

        >>> ViewHistory(ViewState("v"), deque([0, 5, None, 10])).lines()
        ['684.0,96.0 696.0,48.0', '720.0,0.0']
        """
        parts: list[list[str]] = [[]]
        top = self.highest or 1
        step = WIDTH / self._steps
        first = WIDTH - (len(self.lags) - 1) * step
        for at, lag in enumerate(self.lags):
            if lag is None:
                parts.append([])
            else:
                parts[-1].append(f"{first + at * step:.1f},{HEIGHT - HEIGHT * lag / top:.1f}")
        return [" ".join(part) for part in parts if part]


class LagHistory:
    """Samples the lag of views every few seconds until it is closed.

    ``read`` is a function that returns the states of the views of each category.
    """

    def __init__(self, read: Callable[[], Iterable[tuple[str, ViewState]]]) -> None:
        self._read = read
        self._views: dict[Name, ViewHistory] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lag history", daemon=True)
        self.problem = ""  # why the newest sample is missing

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def sample(self) -> None:
        """Take one sample of the lag of each view."""
        try:
            states = {(category, state.view): state for category, state in self._read()}
            problem = ""
        except SERVER_ERRORS as error:
            states = {}
            problem = f"{server(error)} is unavailable"
        with self._lock:
            self.problem = problem
            for name, state in states.items():
                self._views.setdefault(name, ViewHistory(state)).state = state
            for name, history in self._views.items():
                found = states.get(name)
                is_known = found is not None and not found.error
                history.lags.append(found.events if found is not None and is_known else None)

    def views(self) -> dict[Name, ViewHistory]:
        """Return the history of each view, keyed by category and name."""
        with self._lock:
            return {
                name: ViewHistory(history.state, deque(history.lags))
                for name, history in sorted(self._views.items())
            }

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self.sample()
            due = max(due + SECONDS, time.monotonic())
