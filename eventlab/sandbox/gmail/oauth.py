"""Google's consent page and token endpoint, as far as a desktop app meets them."""

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

LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}
CODE_SECONDS: Final = 60.0
READONLY: Final = "https://www.googleapis.com/auth/gmail.readonly"
MODIFY: Final = "https://www.googleapis.com/auth/gmail.modify"
REVOKED: Final = "Token has been expired or revoked."

AutoConsent = Literal["ask", "allow", "deny"]


@dataclass(frozen=True)
class Grant:
    """What a person agreed to; the codes and tokens made from it fall with it."""

    id: int
    scopes: tuple[str, ...]


@dataclass(frozen=True)
class Code:
    """A code that can be changed for tokens, once."""

    grant: Grant
    redirect_uri: str
    challenge: str | None
    offline: bool
    ends: float


@dataclass(frozen=True)
class Access:
    """An access token's right, and its end on the monotonic clock."""

    grant: Grant
    ends: float


class FakeGmailTokens:
    """All codes and tokens that were given out; ``word`` stands in each, so that a test can look for it in logs.

    Example: ``FakeGmailTokens("client-id", "client-secret", seconds=3600, word="sandbox")``
    """

    def __init__(self, client_id: str, client_secret: str, *, seconds: float, word: str) -> None:
        self.client_id, self.client_secret, self.seconds, self.word = (
            client_id,
            client_secret,
            seconds,
            word,
        )
        self.refreshed = 0
        self._lock = threading.Lock()
        self._codes: dict[str, Code] = {}
        self._access: dict[str, Access] = {}
        self._refresh: dict[str, Grant] = {}
        self._grants = 0

    def code(
        self, scopes: tuple[str, ...], redirect_uri: str, challenge: str | None, *, offline: bool
    ) -> str:
        """Give a code for what a person agreed to.

        Example: ``tokens.code((READONLY,), "http://127.0.0.1:8080/", None, offline=True)``
        """
        with self._lock:
            code = f"4/{self._word()}"
            ends = time.monotonic() + CODE_SECONDS
            self._codes[code] = Code(self._grant(scopes), redirect_uri, challenge, offline, ends)
            return code

    def redeem(self, code: str, redirect_uri: str, verifier: str) -> dict[str, Any] | None:
        """Change a code for tokens; None if it is no (longer a) good one, or not this client's.

        Example: ``tokens.redeem(code, "http://127.0.0.1:8080/", verifier)``
        """
        with self._lock:
            found = self._codes.pop(code, None)
            if found is None or found.redirect_uri != redirect_uri or found.ends < time.monotonic():
                return None
            if found.challenge is not None and found.challenge != _challenge(verifier):
                return None
            return self._tokens(found.grant, offline=found.offline)

    def refresh(self, token: str) -> dict[str, Any] | None:
        """Give a new access token for a refresh token; None if that was revoked or is unknown.

        Example: ``tokens.refresh(refresh_token)``
        """
        with self._lock:
            grant = self._refresh.get(token)
            if grant is None:
                return None
            self.refreshed += 1
            return self._tokens(grant, offline=False)

    def grant(self, scopes: tuple[str, ...]) -> dict[str, Any]:
        """Give tokens without asking anyone.

        Example: ``tokens.grant((READONLY,))``
        """
        with self._lock:
            return self._tokens(self._grant(scopes), offline=True)

    def scopes(self, access_token: str) -> tuple[str, ...] | None:
        """Say what an access token is good for; None: for nothing.

        Example: ``tokens.scopes("ya29.unknown")``
        """
        with self._lock:
            found = self._access.get(access_token)
            return (
                found.grant.scopes if found is not None and found.ends > time.monotonic() else None
            )

    def expire(self) -> None:
        """Let all access tokens end now; refresh tokens stay good.

        Example: ``tokens.expire()``
        """
        with self._lock:
            self._access = {
                token: replace(access, ends=0) for token, access in self._access.items()
            }

    def revoke(self) -> None:
        """Take back all consent.

        Example: ``tokens.revoke()``
        """
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
    """Add the consent page and the token endpoint to an app; ``consent`` says whether a person is to be asked.

    Example: ``add_oauth(app, tokens, lambda: "ask")``
    """
    pages = OAuthRoutes(tokens, consent)
    app.get("/o/oauth2/auth", response_class=Response)(pages.ask)
    app.post("/o/oauth2/auth", response_class=Response)(pages.answer)
    app.post("/token", response_class=Response)(pages.token)
    app.post("/revoke", response_class=Response)(pages.revoke)


class OAuthRoutes:
    """The four routes of OAuth."""

    def __init__(self, tokens: FakeGmailTokens, consent: Callable[[], AutoConsent]) -> None:
        self._tokens, self._consent = tokens, consent

    async def ask(self, request: Request) -> Response:
        """Show the consent page, or answer for the person if the stand-in was told to."""
        asked = dict(request.query_params)
        problem = self._problem(asked)
        if problem:
            return HTMLResponse(f"<h1>Error 400: {html.escape(problem)}</h1>", 400)
        consent = self._consent()
        if consent == "ask":
            return HTMLResponse(_page(request.url.query, asked["scope"].split()))
        return self._back(asked, tuple(asked["scope"].split()) if consent == "allow" else ())

    async def answer(self, request: Request) -> Response:
        """Take the person's answer, and send the browser back to the app."""
        form = parse_qs((await request.body()).decode())
        asked = dict(parse_qsl(form.get("request", [""])[0]))
        problem = self._problem(asked)
        if problem:
            return HTMLResponse(f"<h1>Error 400: {html.escape(problem)}</h1>", 400)
        ticked = tuple(scope for scope in asked["scope"].split() if scope in form.get("scope", []))
        return self._back(asked, ticked if form.get("answer") == ["allow"] else ())

    async def token(self, request: Request) -> Response:
        """Give tokens for a code or for a refresh token."""
        form = {
            name: values[0] for name, values in parse_qs((await request.body()).decode()).items()
        }
        if not self._is_client(request.headers.get("authorization", ""), form):
            return _refused(401, "invalid_client", "The OAuth client was not found.")
        kind = form.get("grant_type")
        if kind == "authorization_code":
            uri, verifier = form.get("redirect_uri", ""), form.get("code_verifier", "")
            answer = self._tokens.redeem(form.get("code", ""), uri, verifier)
            return JSONResponse(answer) if answer else _refused(400, "invalid_grant", "Bad Request")
        if kind == "refresh_token":
            answer = self._tokens.refresh(form.get("refresh_token", ""))
            return JSONResponse(answer) if answer else _refused(400, "invalid_grant", REVOKED)
        return _refused(400, "unsupported_grant_type", f"Invalid grant_type: {kind}")

    async def revoke(self) -> Response:
        """Take back consent (all there is: the stand-in has one account)."""
        self._tokens.revoke()
        return JSONResponse({})

    def _problem(self, asked: dict[str, str]) -> str | None:
        if asked.get("client_id") != self._tokens.client_id:
            return "invalid_client"
        back = urlsplit(asked.get("redirect_uri", ""))
        if back.scheme != "http" or back.hostname not in LOOPBACK:
            return "redirect_uri_mismatch"  # a desktop app's redirects are loopback, and no others
        if asked.get("response_type") != "code" or not asked.get("scope"):
            return "invalid_request"
        if asked.get("code_challenge") and asked.get("code_challenge_method") != "S256":
            return "invalid_request"
        return None

    def _back(self, asked: dict[str, str], scopes: tuple[str, ...]) -> Response:
        uri, challenge = asked["redirect_uri"], asked.get("code_challenge")
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
        id, secret = form.get("client_id", ""), form.get("client_secret", "")
        if authorization.lower().startswith("basic "):
            id, _, secret = base64.b64decode(authorization[6:]).decode().partition(":")
        return (id, secret) == (self._tokens.client_id, self._tokens.client_secret)


def _refused(status: int, error: str, description: str) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status)


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _page(query: str, scopes: list[str]) -> str:
    boxes = "".join(
        f'<p><label><input type="checkbox" name="scope" value="{html.escape(scope)}" checked> {html.escape(scope)}'
        "</label></p>"
        for scope in scopes
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Consent (stand-in)</title>'
        "<h1>eventlab wants to read this sandbox mailbox</h1>"
        '<form method="post" action="/o/oauth2/auth">'
        f'<input type="hidden" name="request" value="{html.escape(query)}">{boxes}'
        '<button name="answer" value="allow">Allow</button> <button name="answer" value="deny">Deny</button>'
        "</form></html>"
    )
