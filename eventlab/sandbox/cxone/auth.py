"""The fake CXone's discovery documents, and token endpoints for three authentication methods."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

TENANT: Final = "11eb0000-0000-4000-8000-5a2db0d7e000"
PATRON: Final = "PatronApi"
AGENT: Final = "AgentApi"


@dataclass(frozen=True, kw_only=True)
class FakeCXoneCredentials:
    """The keys and secrets that the fake CXone accepts for its three authentication methods.

    >>> FakeCXoneCredentials().application
    'eventlab@sandbox'
    """

    application: str = "eventlab@sandbox"
    application_key: str = "sandbox-application-key"
    key: str = "SANDBOXACCESSKEYID===="
    secret: str = "SANDBOXACCESSKEYSECRET===="
    client: str = "sandbox-client"
    client_secret: str = "sandbox-client-secret"


class TokenIssuer:
    """Issues tokens and records when each expires; ``seconds`` is the lifetime of new tokens.

    >>> issuer = TokenIssuer(seconds=3600)
    >>> issuer.scopes(issuer.issue(AGENT))
    ('AgentApi',)
    """

    def __init__(self, *, seconds: float) -> None:
        self.seconds = seconds
        self.issued = 0
        self._signing_key = secrets.token_bytes(32)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._valid: dict[str, tuple[float, tuple[str, ...]]] = {}

    def issue(self, *scopes: str) -> str:
        """Issue a token for these scopes; like CXone's tokens, it is a JWT."""
        now = int(time.time())
        claims = {
            "tenantId": TENANT,
            "icBUId": "4100001",
            "icClusterId": "C0",
            "area": "na0",
            "iat": now,
            "exp": now + int(self.seconds),
            "jti": str(next(self._numbers)),
            "scope": " ".join(scopes),
        }
        token = self._signed(claims)
        with self._lock:
            self.issued += 1
            self._valid[token] = (time.monotonic() + self.seconds, scopes)
        return token

    def scopes(self, token: str) -> tuple[str, ...] | None:
        """Return the scopes of a token, or None if it is unknown or expired."""
        with self._lock:
            expires_at, scopes = self._valid.get(token, (0.0, ()))
        return scopes if time.monotonic() < expires_at else None

    def expire(self) -> None:
        """Expire all issued tokens now."""
        with self._lock:
            self._valid.clear()

    def _signed(self, claims: Mapping[str, Any]) -> str:
        parts = [
            _encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)
        ]
        signature = hmac.new(self._signing_key, ".".join(parts).encode(), hashlib.sha256).digest()
        return ".".join([*parts, _encoded(signature)])


def token_routes(issuer: TokenIssuer, known: FakeCXoneCredentials) -> APIRouter:
    """Return the routes of the token endpoints and of the discovery documents."""
    routes = APIRouter()

    def granted(*scopes: str, **more: str) -> Response:
        token = issuer.issue(*scopes)
        return JSONResponse(
            {
                "access_token": token,
                "token_type": "bearer",
                "expires_in": int(issuer.seconds),
                **more,
            }
        )

    @routes.post("/incontactauthorizationserver/token")
    async def legacy(request: Request) -> Response:
        if not _is_basic(request, known.application, known.application_key):
            return _oauth_error("invalid_client", "The client's credentials are not valid", 401)
        if _object(await request.body()).get("grant_type") != "client_credentials":
            return _oauth_error(
                "unsupported_grant_type", "The fake server supports only client_credentials"
            )
        # These credentials belong to no agent, so the token is valid only for the Patron API.
        return granted(
            PATRON, resource_server_base_uri=f"{request.base_url}InContactAPI/", scope=PATRON
        )

    @routes.post("/authentication/v1/token/access-key")
    async def access_key(request: Request) -> Response:
        body = _object(await request.body())
        if (body.get("accessKeyId"), body.get("accessKeySecret")) != (known.key, known.secret):
            return _oauth_error("invalid_credentials", "The access key is not valid", 401)
        return granted(PATRON, AGENT)

    @routes.post("/auth/token")
    async def oidc(request: Request) -> Response:
        if not _is_basic(request, known.client, known.client_secret):
            return _oauth_error("invalid_client", "Client authentication failed", 401)
        form = {
            name: values[0]
            for name, values in parse_qs((await request.body()).decode("utf-8", "replace")).items()
        }
        if form.get("grant_type") != "password":
            return _oauth_error(
                "unsupported_grant_type", "The fake server supports only the password grant"
            )
        if (form.get("username"), form.get("password")) != (known.key, known.secret):
            return _oauth_error("invalid_grant", "The access key is not valid")
        return granted(PATRON, AGENT, id_token=issuer._signed({"tenantId": TENANT}))

    @routes.get("/.well-known/openid-configuration")
    async def openid(request: Request) -> Response:
        base = str(request.base_url).rstrip("/")
        methods = {"token_endpoint_auth_methods_supported": ["client_secret_basic"]}
        return JSONResponse({"issuer": base, "token_endpoint": f"{base}/auth/token", **methods})

    @routes.get("/.well-known/cxone-configuration")
    async def configuration(request: Request, tenantId: str = TENANT) -> Response:  # noqa: N803 - CXone's own name
        if tenantId != TENANT:
            return _oauth_error("not_found", "There is no such tenant", 404)
        base = str(request.base_url).rstrip("/")
        where = {
            "api_endpoint": base,
            "auth_endpoint": base,
            "ui_endpoint": base,
            "tenantId": tenantId,
        }
        return JSONResponse(
            {"private": False, "area": "na0", "cluster": "c0", "domain": "example.com", **where}
        )

    return routes


def _is_basic(request: Request, user: str, password: str) -> bool:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    wanted = base64.b64encode(f"{user}:{password}".encode()).decode()
    return scheme.lower() == "basic" and hmac.compare_digest(value.encode(), wanted.encode())


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _oauth_error(error: str, description: str, status: int = 400) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
