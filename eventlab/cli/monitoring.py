"""Serve the metrics and health of a long-running command on a port of 127.0.0.1."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from eventlab.cli.process import CommandFailed, require

if TYPE_CHECKING:
    from eventlab.observe.metrics import Metrics

NEEDED: Final = ("fastapi", "uvicorn", "prometheus_client")

log = logging.getLogger(__name__)


@contextlib.contextmanager
def monitored(
    port: int | None, metrics: Callable[[], Metrics], problems: Callable[[], list[str]]
) -> Iterator[Metrics | None]:
    """Serve metrics and health during the block, unless ``port`` is None.

    ``problems`` returns a message for each reason why the command is unhealthy. Raises
    CommandFailed if a package is missing or the port is in use.
    """
    if port is None:
        yield None
        return
    require(NEEDED, "serve")
    from eventlab.accounts.http.admission import Admission
    from eventlab.accounts.http.listener import LOOPBACK
    from eventlab.observe.monitoring_app import monitoring_app
    from eventlab.sandbox.serving import Serving

    counting = metrics()
    try:
        # Otherwise, a web page could connect through a host name that resolves to 127.0.0.1.
        app = Admission(monitoring_app(counting, problems), LOOPBACK)
        serving = Serving(app, port=port)
    except OSError as error:
        raise CommandFailed(
            f"cannot serve metrics on port {port} ({error.strerror}): choose another port with "
            "--metrics"
        ) from error
    with serving:
        log.info("metrics: %s/metrics, health: %s/healthz", serving.url, serving.url)
        yield counting
