"""The loop of a consumer, which receives, handles and acknowledges events."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from eventlab.errors import InvalidArgument
from eventlab.events import Recorded
from eventlab.store.answers import SERVER_ERRORS, is_outage, misconfiguration, reason, server
from eventlab.store.causes import caused_by
from eventlab.store.store import EventStore

log = logging.getLogger(__name__)

Handler = Callable[[Recorded], object]
Result = TypeVar("Result")


class Runnable(ABC):
    """The base class of subscriptions, which runs a handler for each delivered event."""

    store: EventStore
    name: str
    claim_after: float

    @abstractmethod
    def receive(self, count: int = 10, *, block: float | None = None) -> list[Recorded]:
        """Return up to ``count`` events to work on."""

    @abstractmethod
    def ack(self, events: Iterable[Recorded]) -> None:
        """Acknowledge events that have been handled."""

    @abstractmethod
    def fail(self, event: Recorded, error: Exception | str, *, outage: bool = False) -> bool:
        """Report that the work on an event failed, and return True if the event was parked."""

    @abstractmethod
    def touch(self, events: Iterable[Recorded]) -> int:
        """Report that the work on events continues; return how many this consumer still holds."""

    @abstractmethod
    def hand_back(self, events: Iterable[Recorded]) -> None:
        """Give back events that were not handled."""

    def run(
        self,
        handle: Handler,
        stop: threading.Event,
        *,
        outage_errors: tuple[type[Exception], ...] = (),
        batch_size: int = 10,
        poll_interval: float = 1.0,
    ) -> int:
        """Call ``handle`` with each event until ``stop`` is set; return how many were handled.

        An event is acknowledged when ``handle`` returns. If ``handle`` raises an error, the event
        fails and is delivered again after a pause, or is parked. If the error is one of
        ``outage_errors``, or means that Redis or MongoDB is down, the event is not the cause. In
        that case, the subscription is paused for all its consumers, and no event is parked. In
        ``outage_errors``, include only errors that no single event can cause, such as a refused
        connection.

        The ``meta`` of each event that ``handle`` appends names the handled event as the cause. If
        the work on a single event takes longer than ``claim_after``, let ``handle`` call ``touch``.
        When ``stop`` is set, the loop finishes the current event and gives back the events after
        it. The loop checks ``stop`` every ``poll_interval`` seconds. While Redis is down, the loop
        waits. Each outage is logged once.

        Raises SubscriptionLost, which says how to begin again, and Misconfigured.

        >>> letters.run(send, stop, outage_errors=(ConnectionRefusedError,))
        2
        """
        if not all(isinstance(each, type) for each in outage_errors):
            raise InvalidArgument(f"outage_errors={outage_errors!r} must be a tuple of exceptions")
        loop = _Loop(self, handle, stop, outage_errors, poll_interval)
        handled = 0
        while not stop.is_set():
            events = loop.patiently(lambda: self.receive(batch_size, block=poll_interval))
            handled += loop.work_on(events or [])
        return handled


@dataclass
class _Loop:
    _subscription: Runnable
    _handle: Handler
    _stop: threading.Event
    _outage_errors: tuple[type[Exception], ...]
    _poll_interval: float
    _down: str = ""  # the server that is down, so that each outage is logged once
    _paused: bool = False

    def work_on(self, events: Sequence[Recorded]) -> int:
        """Handle the events of a batch one by one; return how many were acknowledged."""
        left = list(events)
        touched = time.monotonic()
        handled = 0
        try:
            while left and not self._stop.is_set():
                if time.monotonic() - touched > self._subscription.claim_after / 3:
                    touched = time.monotonic()
                    left = self._still_ours(left)
                    if not left:
                        break
                event = left.pop(0)
                error = self._try(event)
                if error is None:
                    self._acknowledge(event)
                    handled += 1
                elif isinstance(error, self._outage_errors) or is_outage(error):
                    self._pause(event, error)
                    return handled
                else:
                    self._fail(event, error)
        finally:
            # Also after Ctrl-C, give back the rest. If Redis is down, these events are abandoned.
            with contextlib.suppress(*SERVER_ERRORS):
                self._subscription.hand_back(left)
        return handled

    def patiently(self, call: Callable[[], Result]) -> Result | None:
        """Repeat a call until Redis responds; return the result, or None if ``stop`` is set."""
        while True:
            try:
                result = call()
            except SERVER_ERRORS as error:
                if not is_outage(error):
                    raise misconfiguration(error) or error from error
                self._wait_for(server(error), reason(error))
                if self._stop.wait(self._poll_interval):
                    return None
            else:
                if self._down:
                    log.info("%s: %s is available again", self, self._down)
                    self._down = ""
                return result

    def __str__(self) -> str:
        return f"subscription {self._subscription.name}"

    def _wait_for(self, name: str, why: str) -> None:
        if not self._down:
            log.warning("%s: waiting: %s is unavailable (%s)", self, name, why)
        self._down = name

    def _try(self, event: Recorded) -> Exception | None:
        try:
            with caused_by(event, self._subscription.store.category):
                self._handle(event)
        except Exception as error:  # noqa: BLE001 - a handler is user code: store what it raises
            return error
        return None

    def _still_ours(self, events: list[Recorded]) -> list[Recorded]:
        """Return the events that this consumer still holds; other consumers may hold the rest."""
        touch = self._subscription.touch
        return self.patiently(lambda: [event for event in events if touch([event])]) or []

    def _acknowledge(self, event: Recorded) -> None:
        self.patiently(lambda: self._subscription.ack([event]))
        if self._paused:
            log.info("%s: resumed", self)
        self._paused = False

    def _pause(self, event: Recorded, error: Exception) -> None:
        # An error's text may quote data that must not be logged; it is stored with the event.
        if not self._paused:
            what = type(error).__name__
            log.warning("%s: paused by %s at %r version %d", self, what, event.id, event.version)
        self._paused = True
        self.patiently(lambda: self._subscription.fail(event, error, outage=True))

    def _fail(self, event: Recorded, error: Exception) -> None:
        parked = self.patiently(lambda: self._subscription.fail(event, error))
        level, then = (logging.ERROR, "parked") if parked else (logging.WARNING, "will be retried")
        what = type(error).__name__
        log.log(level, "%s: %s at %r version %d: %s", self, what, event.id, event.version, then)
