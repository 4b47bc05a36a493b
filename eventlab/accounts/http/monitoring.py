"""The routes for monitoring: the metrics for Prometheus, and the health of the views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import redis.exceptions
from fastapi import FastAPI, Response

from eventlab.accounts.http.openapi import responses
from eventlab.accounts.http.responses import answer, error
from eventlab.accounts.http.schemas import Health
from eventlab.accounts.http.threads import ServerThreads
from eventlab.accounts.service import AccountService
from eventlab.observe.lag import MaxLag, ViewState, problems_of
from eventlab.observe.metrics import CONTENT_TYPE, Metrics
from eventlab.store.answers import SERVER_ERRORS

THREADS: Final = 2


class Monitoring:
    """The routes for monitoring. They have their own threads, so a scrape never delays a deposit.

    ``states`` reads the lag of the views. A view that lags does not make the service unready,
    because every other route works, and restarting the service would not help.
    """

    def __init__(
        self, metrics: Metrics, states: Callable[[], list[ViewState]], max_lag: MaxLag | None
    ) -> None:
        self.count = metrics
        self._states = states
        self._max_lag = max_lag
        self._threads = ServerThreads(
            "Redis or MongoDB", redis.exceptions.TimeoutError, threads=THREADS
        )

    def add_to(self, app: FastAPI, service: AccountService) -> None:
        """Add the routes, and count the outages and the conflicts of a service."""
        app.state.metrics = self.count
        service.accounts.on_conflict = self.count.count_conflict
        app.get("/metrics", response_class=Response, include_in_schema=False)(self.metrics)
        app.get("/healthz/views", response_class=Response, responses=responses(200, Health))(
            self.views
        )

    async def metrics(self) -> Response:
        """Return the metrics, without those of a server that does not respond in time"""
        body = self.count.counters()
        try:
            body += await self._threads.run(self.count.gauges)
        except SERVER_ERRORS as problem:
            self.count.count_outage(problem)
        return Response(body, headers={"Content-Type": CONTENT_TYPE})

    async def views(self) -> Response:
        """Check that every view follows the events and is within the limit of --max-lag"""
        states = await self._threads.run(self._states)
        problems = problems_of(states, self._max_lag)
        return error(503, "; ".join(problems)) if problems else answer(200, Health())
