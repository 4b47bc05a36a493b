"""An ASGI app with the metrics and the health of a command that runs until it is stopped."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from eventlab.observe.metrics import CONTENT_TYPE, Metrics
from eventlab.store.answers import SERVER_ERRORS, server


def monitoring_app(metrics: Metrics, problems: Callable[[], list[str]]) -> Starlette:
    """Return an app with ``GET /metrics`` and ``GET /healthz``.

    ``problems`` returns a message for each problem. If ``problems`` returns any message, or while a
    server is unavailable, ``/healthz`` responds with 503.
    """

    def read_metrics(_request: Request) -> Response:
        body = metrics.counters() + metrics.gauges()
        return Response(body, headers={"Content-Type": CONTENT_TYPE})

    def read_health(_request: Request) -> Response:
        try:
            found = problems()
        except SERVER_ERRORS as error:
            found = [f"{server(error)} is unavailable"]
        body = {"status": "failing", "problems": found} if found else {"status": "ok"}
        return JSONResponse(body, 503 if found else 200)

    return Starlette(routes=[Route("/metrics", read_metrics), Route("/healthz", read_health)])
