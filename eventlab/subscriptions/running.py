"""The loop of a consumer, which receives, handles and acknowledges events."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from eventlab.errors import InvalidArgument
from eventlab.events import Recorded
from eventlab.store.answers import SERVER_ERRORS, is_outage, misconfiguration, reason, server
from eventlab.store.causes import caused_by

if TYPE_CHECKING:
    from eventlab.subscriptions.subscription import Subscription

log = logging.getLogger(__name__)

Handler = Callable[[Recorded], object]
Result = TypeVar("Result")


def run(
    subscription: Subscription,
    handle: Handler,
    stop: threading.Event,
    outage_errors: tuple[type[Exception], ...],
    batch_size: int,
    poll_interval: float,
) -> int:
    """Handle the events of a subscription until ``stop`` is set; see ``Subscription.run``."""
    if not all(isinstance(each, type) for each in outage_errors):
        raise InvalidArgument(f"outage_errors={outage_errors!r} must be a tuple of exceptions")
    loop = _Loop(subscription, handle, stop, outage_errors, poll_interval)
    handled = 0
    while not stop.is_set():
        events = loop.patiently(lambda: subscription.receive(batch_size, block=poll_interval))
        handled += loop.work_on(events or [])
    return handled


@dataclass
class _Loop:
    _subscription: Subscription
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
