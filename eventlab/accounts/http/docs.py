"""The pages that describe the API, /docs and /redoc, without scripts from other servers."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse

PAGE = """<!doctype html><title>{title}</title>
<p><a href="{root}/openapi.json">openapi.json</a> describes this service. If the package
<code>fastapi-offline</code> is installed, this page shows the description.</p>
"""


def documented_app(
    *,
    title: str,
    version: str,
    description: str,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None,
) -> FastAPI:
    """Return a FastAPI app whose documentation works offline and whose paths lack a trailing slash.

    FastAPI's own documentation pages would load scripts from a CDN into the origin of this API.
    """
    is_offline = importlib.util.find_spec("fastapi_offline") is not None
    make: Callable[..., FastAPI]
    if is_offline:
        from fastapi_offline import FastAPIOffline

        make = FastAPIOffline
    else:
        make = functools.partial(FastAPI, docs_url=None, redoc_url=None)
    app = make(
        title=title,
        version=version,
        description=description,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    if not is_offline:
        app.get("/docs", include_in_schema=False)(link)
    return app


def link(request: Request) -> HTMLResponse:
    """Return a page that links to the OpenAPI document."""
    root = request.scope.get("root_path", "")
    return HTMLResponse(PAGE.format(title=request.app.title, root=root))
