"""The parts of Google's consent page and token endpoint that a desktop app uses."""

from __future__ import annotations

import base64
import hashlib
import html
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from eventlab.sandbox.gmail.error import GoogleError

LOOPBACK_HOSTS: Final = {"localhost", "127.0.0.1", "::1"}
CODE_SECONDS: Final = 60.0
READONLY: Final = "https://www.googleapis.com/auth/gmail.readonly"
MODIFY: Final = "https://www.googleapis.com/auth/gmail.modify"
REVOKED_TEXT: Final = "Token has been expired or revoked."

AutoConsent = Literal["ask", "allow", "deny"]


@dataclass(frozen=True)
class Grant:
    """The scopes granted by one consent."""

    id: int
    scopes: tuple[str, ...]


@dataclass(frozen=True)
class Code:
    """A code that can be exchanged for tokens once; ``expires_at`` is a monotonic time."""

    grant: Grant
    redirect_uri: str
    challenge: str | None
    offline: bool
    expires_at: float


@dataclass(frozen=True)
class Access:
    """The grant of an access token; ``expires_at`` is a monotonic time."""

    grant: Grant
    expires_at: float


class FakeGmailTokens:
    """Issues and stores codes and tokens.

    ``seconds`` is the lifetime of an access token. Every code and token contains ``word``, so that
    a test can search logs for it.
    """

    def __init__(self, client_id: str, client_secret: str, *, seconds: float, word: str) -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self.seconds = seconds
        self.word = word
        self.refreshed = 0
        self._lock = threading.Lock()
        self._codes: dict[str, Code] = {}
        self._access: dict[str, Access] = {}
        self._refresh: dict[str, Grant] = {}
        self._grants = 0

    def code(
        self, scopes: tuple[str, ...], redirect_uri: str, challenge: str | None, *, offline: bool
    ) -> str:
        """Issue a code for a consent.

        With ``offline``, the tokens for this code will include a refresh token.
        """
        with self._lock:
            code = f"4/{self._word()}"
            expires_at = time.monotonic() + CODE_SECONDS
            self._codes[code] = Code(
                self._grant(scopes), redirect_uri, challenge, offline, expires_at
            )
            return code

    def redeem(self, code: str, redirect_uri: str, verifier: str) -> dict[str, Any] | None:
        """Exchange a code for tokens, or return None if the code is not valid."""
        with self._lock:
            found = self._codes.pop(code, None)
            if (
                found is None
                or found.redirect_uri != redirect_uri
                or found.expires_at < time.monotonic()
            ):
                return None
            if found.challenge is not None and found.challenge != _challenge(verifier):
                return None
            return self._tokens(found.grant, offline=found.offline)

    def refresh(self, token: str) -> dict[str, Any] | None:
        """Issue an access token for a refresh token, or return None if that token is not valid."""
        with self._lock:
            grant = self._refresh.get(token)
            if grant is None:
                return None
            self.refreshed += 1
            return self._tokens(grant, offline=False)

    def grant(self, scopes: tuple[str, ...]) -> dict[str, Any]:
        """Issue tokens without asking for consent."""
        with self._lock:
            return self._tokens(self._grant(scopes), offline=True)

    def scopes(self, access_token: str) -> tuple[str, ...] | None:
        """Return the scopes of an access token, or None if it is unknown or expired."""
        with self._lock:
            found = self._access.get(access_token)
            return (
                found.grant.scopes
                if found is not None and found.expires_at > time.monotonic()
                else None
            )

    def knows(self, token: str) -> bool:
        """Return whether this is an access or refresh token that has not been revoked."""
        with self._lock:
            return token in self._access or token in self._refresh

    def expire(self) -> None:
        """Expire all access tokens now; refresh tokens stay valid."""
        with self._lock:
            self._access = {
                token: replace(access, expires_at=0) for token, access in self._access.items()
            }

    def revoke(self) -> None:
        """Revoke all consent."""
        with self._lock:
            self._access.clear()
            self._refresh.clear()
            self._codes.clear()

    def _tokens(self, grant: Grant, *, offline: bool) -> dict[str, Any]:
        access = f"ya29.{self._word()}"
        self._access[access] = Access(grant, time.monotonic() + self.seconds)
        answer = {
            "access_token": access,
            "expires_in": int(self.seconds),
            "scope": " ".join(grant.scopes),
            "token_type": "Bearer",
        }
        if offline:
            refresh = f"1//{self._word()}"
            self._refresh[refresh] = grant
            answer["refresh_token"] = refresh
        return answer

    def _grant(self, scopes: tuple[str, ...]) -> Grant:
        self._grants += 1
        return Grant(self._grants, scopes)

    def _word(self) -> str:
        return f"{self.word}-{secrets.token_urlsafe(24)}"


def add_oauth(app: FastAPI, tokens: FakeGmailTokens, consent: Callable[[], AutoConsent]) -> None:
    """Add the consent page and the token endpoint to an app.

    ``consent`` returns ``ask`` to let the operator decide, or ``allow`` or ``deny``.
    """
    routes = OAuthRoutes(tokens, consent)
    app.get("/o/oauth2/auth", response_class=Response)(routes.ask)
    app.post("/o/oauth2/auth", response_class=Response)(routes.answer)
    app.post("/token", response_class=Response)(routes.token)
    app.post("/revoke", response_class=Response)(routes.revoke)


class OAuthRoutes:
    """The four OAuth routes."""

    def __init__(self, tokens: FakeGmailTokens, consent: Callable[[], AutoConsent]) -> None:
        self._tokens = tokens
        self._consent = consent

    async def ask(self, request: Request) -> Response:
        """Show the consent page, or allow or deny the request automatically."""
        asked = dict(request.query_params)
        problem = self._problem(asked)
        if problem:
            return HTMLResponse(f"<h1>Error 400: {html.escape(problem)}</h1>", 400)
        consent = self._consent()
        if consent == "ask":
            return HTMLResponse(_page(request.url.query, asked["scope"].split()))
        return self._back(asked, tuple(asked["scope"].split()) if consent == "allow" else ())

    async def answer(self, request: Request) -> Response:
        """Accept the operator's answer and redirect the browser to the app."""
        form = await _form(request)
        asked = dict(parse_qsl(form.get("request", [""])[0]))
        problem = self._problem(asked)
        if problem:
            return HTMLResponse(f"<h1>Error 400: {html.escape(problem)}</h1>", 400)
        checked = tuple(scope for scope in asked["scope"].split() if scope in form.get("scope", []))
        return self._back(asked, checked if form.get("answer") == ["allow"] else ())

    async def token(self, request: Request) -> Response:
        """Issue tokens for a code or for a refresh token."""
        form = {name: values[0] for name, values in (await _form(request)).items()}
        if not self._is_client(request.headers.get("authorization", ""), form):
            return _oauth_error(401, "invalid_client", "The OAuth client was not found.")
        grant_type = form.get("grant_type")
        if grant_type == "authorization_code":
            granted = self._tokens.redeem(
                form.get("code", ""), form.get("redirect_uri", ""), form.get("code_verifier", "")
            )
            problem = "Bad Request"
        elif grant_type == "refresh_token":
            granted = self._tokens.refresh(form.get("refresh_token", ""))
            problem = REVOKED_TEXT
        else:
            text = f"Invalid grant_type: {grant_type}"
            return _oauth_error(400, "unsupported_grant_type", text)
        return JSONResponse(granted) if granted else _oauth_error(400, "invalid_grant", problem)

    async def revoke(self, request: Request) -> Response:
        """Revoke all consent if the token is valid; the fake Gmail has only one account."""
        form = await _form(request)
        token = form.get("token", [request.query_params.get("token", "")])[0]
        if not self._tokens.knows(token):
            return _oauth_error(400, "invalid_token", "Token expired or revoked")
        self._tokens.revoke()
        return JSONResponse({})

    def _problem(self, asked: dict[str, str]) -> str | None:
        if asked.get("client_id") != self._tokens.client_id:
            return "invalid_client"
        back = urlsplit(asked.get("redirect_uri", ""))
        if back.scheme != "http" or back.hostname not in LOOPBACK_HOSTS:
            return "redirect_uri_mismatch"  # a desktop app may redirect only to loopback
        if asked.get("response_type") != "code" or not asked.get("scope"):
            return "invalid_request"
        if asked.get("code_challenge") and asked.get("code_challenge_method") != "S256":
            return "invalid_request"
        return None

    def _back(self, asked: dict[str, str], scopes: tuple[str, ...]) -> Response:
        uri = asked["redirect_uri"]
        challenge = asked.get("code_challenge")
        offline = asked.get("access_type") == "offline" and asked.get("prompt") == "consent"
        if scopes:
            code = self._tokens.code(scopes, uri, challenge, offline=offline)
            found = {"code": code, "scope": " ".join(scopes)}
        else:
            found = {"error": "access_denied"}
        return RedirectResponse(
            f"{uri}?{urlencode({'state': asked.get('state', ''), **found})}", 302
        )

    def _is_client(self, authorization: str, form: dict[str, str]) -> bool:
        id = form.get("client_id", "")
        secret = form.get("client_secret", "")
        if authorization.lower().startswith("basic "):
            try:
                id, _, secret = base64.b64decode(authorization[6:]).decode().partition(":")
            except ValueError:
                return False
        return (id, secret) == (self._tokens.client_id, self._tokens.client_secret)


async def _form(request: Request) -> dict[str, list[str]]:
    """Return the fields of a form. Raises ``GoogleError`` 400 if the body is not a form."""
    try:
        return parse_qs((await request.body()).decode())
    except ValueError:  # invalid UTF-8, or too many fields
        raise GoogleError(400, message="The request is not a form in UTF-8") from None


def _oauth_error(status: int, error: str, description: str) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status)


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _page(query: str, scopes: list[str]) -> str:
    boxes = "".join(
        f'<p><label><input type="checkbox" name="scope" value="{html.escape(scope)}" checked> '
        f"{html.escape(scope)}</label></p>"
        for scope in scopes
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Consent (fake server)</title>'
        "<h1>eventlab wants to read this sandbox mailbox</h1>"
        '<form method="post" action="/o/oauth2/auth">'
        f'<input type="hidden" name="request" value="{html.escape(query)}">{boxes}'
        '<button name="answer" value="allow">Allow</button> '
        '<button name="answer" value="deny">Deny</button>'
        "</form></html>"
    )
