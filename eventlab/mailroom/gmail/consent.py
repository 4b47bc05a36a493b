"""Consent: an operator allows access to a mailbox in a browser, and Google returns a code."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import time
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import parse_qs, urlsplit

import requests
from google_auth_oauthlib.flow import InstalledAppFlow
from oauthlib.oauth2 import OAuth2Error
from oauthlib.oauth2.rfc6749.errors import (
    AccessDeniedError,
    InvalidClientError,
    InvalidGrantError,
    MismatchingStateError,
)

from eventlab.mailroom.errors import GmailFailed
from eventlab.mailroom.gmail.client_file import OAuthClient
from eventlab.mailroom.gmail.redirect_server import RedirectServer, is_reply, query_of
from eventlab.mailroom.http_session import LimitedAdapter
from eventlab.mailroom.urls import is_loopback

BrowserMode = bool | Literal["paste-back"]
Show = Callable[[str], object]
Say = Callable[[str], object]
Ask = Callable[[str], str]

#: Nothing listens at this URL on any machine, so the browser stops there and shows the code in its
#: address bar.
NOWHERE: Final = "http://localhost:1/"
EXCHANGE_TIMEOUT_SECONDS: Final = 30.0
#: These loggers write the code, the client's secret and the token at the DEBUG level.
LEAKING_LOGGERS: Final = ("requests_oauthlib.oauth2_session", "google_auth_oauthlib.flow")

show: Show = webbrowser.open


@dataclass(frozen=True)
class Consent:
    """The tokens that Google issued after consent; ``expires_at`` is in seconds since 1970."""

    token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    scopes: tuple[str, ...]
    expires_at: float


def ask_for_consent(
    client: OAuthClient,
    scope: str,
    *,
    timeout_seconds: float,
    browser: BrowserMode,
    port: int = 0,
    open_url: Show = show,
    say: Say = print,
    ask: Ask = input,
) -> Consent:
    """Ask an operator for consent and return the tokens; ``authorize`` explains the options.

    Raises ``GmailFailed`` if consent is denied or is not given in time, or if the code that Google
    returns cannot be exchanged for tokens.
    """
    with _oauthlib_environment(client), _leaking_loggers_off():
        if browser == "paste-back":
            return _paste_back(client, scope, say, ask)
        return _over_loopback(
            client, scope, timeout_seconds, port, open_url if browser else None, say
        )


def _paste_back(client: OAuthClient, scope: str, say: Say, ask: Ask) -> Consent:
    flow, url = _begin(client, scope, NOWHERE)
    say(f"Open this link in your browser and give consent:\n{url}")
    say(
        "At the end the browser shows an error, which is expected: "
        f"the address of that page begins with {NOWHERE} and contains the code."
    )
    try:
        address = ask("Paste the whole address here: ").strip()
    except EOFError:
        raise GmailFailed(
            "There is no terminal to read the address from: give consent on a machine that has "
            "one, and copy the token file"
        ) from None
    if not is_reply(query_of(address)):
        raise GmailFailed(
            "The pasted text does not contain a code: paste the whole address, which begins with "
            f"{NOWHERE}"
        )
    return _exchange(flow, address)


def _over_loopback(
    client: OAuthClient,
    scope: str,
    timeout_seconds: float,
    port: int,
    open_url: Show | None,
    say: Say,
) -> Consent:
    try:
        server = RedirectServer(port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise GmailFailed(
            f"Port {port} is in use: pass another port, or 0 for any free port"
        ) from None
    with server:
        flow, url = _begin(client, scope, f"http://127.0.0.1:{server.server_address[1]}/")
        server.state = parse_qs(urlsplit(url).query)["state"][0]
        if open_url is None:
            say(f"Open this link in a browser on this machine and give consent:\n{url}")
        else:
            _open(open_url, url)
        return _exchange(flow, server.wait(timeout_seconds))


def _open(open_url: Show, url: str) -> None:
    try:
        opened = open_url(url)
    except webbrowser.Error:
        opened = False
    if opened is False:
        raise GmailFailed(
            "No browser can be opened here: use browser=False and open the link on this machine "
            'yourself, or browser="paste-back" and open it on another machine'
        )


def _begin(client: OAuthClient, scope: str, redirect_uri: str) -> tuple[Any, str]:
    config = {
        "client_id": client.id,
        "client_secret": client.secret,
        "auth_uri": client.auth_uri,
        "token_uri": client.token_uri,
    }
    flow = InstalledAppFlow.from_client_config(
        {"installed": config}, [scope], redirect_uri=redirect_uri
    )
    # without prompt=consent, a second consent returns no refresh token
    url, _state = flow.authorization_url(access_type="offline", prompt="consent")
    return flow, url


def _exchange(flow: Any, address: str) -> Consent:
    """Exchange the code in ``address``, the URL that the browser returned to, for tokens."""
    session = flow.oauth2session
    if is_loopback(flow.client_config["token_uri"]):
        session.trust_env = False
    session.max_redirects = 0  # another server must not get the code
    for scheme in ("http://", "https://"):
        session.mount(scheme, LimitedAdapter(max_seconds=EXCHANGE_TIMEOUT_SECONDS))
    # oauthlib requires https in this URL, although no further request goes there.
    as_https = address.replace("http:", "https:", 1)
    try:
        with session:
            token = flow.fetch_token(
                authorization_response=as_https, timeout=EXCHANGE_TIMEOUT_SECONDS
            )
        return _consent(token)
    except (OAuth2Error, requests.RequestException, ValueError) as error:
        raise GmailFailed(
            _exchange_message(error)
        ) from None  # from None: the cause may quote the code


def _consent(token: Any) -> Consent:
    if not token.get("refresh_token"):
        raise GmailFailed(
            "Google returned no refresh token: remove this app's access in the account's settings, "
            "then ask for consent again"
        )
    scopes = token.get("scope") or []
    granted = tuple(scopes.split() if isinstance(scopes, str) else scopes)
    return Consent(
        token["access_token"],
        token["refresh_token"],
        granted,
        float(token.get("expires_at") or time.time()),
    )


def _exchange_message(error: Exception) -> str:
    if isinstance(error, AccessDeniedError):
        return (
            "Consent was denied, and no email can be read without it: "
            "ask for consent again if that was a mistake"
        )
    if isinstance(error, MismatchingStateError):
        return (
            "The response belongs to another request, perhaps from an older link: ask for consent "
            "again, and use the newest link"
        )
    if isinstance(error, InvalidGrantError):
        return "The code was used before or has expired: ask for consent again"
    if isinstance(error, InvalidClientError):
        return (
            "Google does not accept the client file's client id or secret: "
            "download the file again, then ask for consent again"
        )
    if isinstance(error, requests.TooManyRedirects):
        return (
            "Google redirected the token request to another address, and redirects are not "
            "followed: download the client file again, then ask for consent again"
        )
    if isinstance(error, requests.RequestException):
        return (
            f"The token request to Google failed ({type(error).__name__}): "
            "ask for consent again later"
        )
    # Anyone may have sent the browser here, so only an error code in OAuth's form is shown.
    code = str(getattr(error, "error", None) or "")
    if not re.fullmatch(r"[A-Za-z_]{1,60}", code):
        code = type(error).__name__
    return f"Google returned no token ({code}): ask for consent again"


@contextlib.contextmanager
def _oauthlib_environment(client: OAuthClient) -> Iterator[None]:
    """Relax two of oauthlib's checks, with environment variables, while the block runs."""
    # If the user granted fewer scopes, oauthlib would raise a bare Warning. ``authorize`` checks
    # the scopes instead.
    variables = {"OAUTHLIB_RELAX_TOKEN_SCOPE": "1"}
    if is_loopback(client.auth_uri) and is_loopback(client.token_uri):
        variables["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _leaking_loggers_off() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in LEAKING_LOGGERS]
    for logger in loggers:
        logger.addFilter(_drop)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(_drop)


def _drop(_record: logging.LogRecord) -> bool:
    return False
