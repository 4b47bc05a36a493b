"""CXone's tokens: fetched in any of the three ways that it knows, and kept until shortly before their end."""

from __future__ import annotations

import base64
import json
import logging
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from eventlab.mailroom.cxone.reason import reason_in
from eventlab.mailroom.cxone.settings import CXoneSettings
from eventlab.mailroom.cxone.transport import (
    AuthorizationHeader,
    CXoneRequest,
    CXoneResponse,
    CXoneTransport,
)
from eventlab.mailroom.errors import BadSetting, WorkItemInDoubt, WorkItemUnsent
from eventlab.mailroom.urls import checked_url, is_loopback

log = logging.getLogger(__name__)

LIFE: Final = 3600.0  # seconds, if the answer does not say
EARLY: Final = (
    60.0  # seconds before its end that a token is not used any more, or a tenth of its life
)
JSON_BODY: Final = {"Content-Type": "application/json; charset=utf-8"}


class TokenGrant(msgspec.Struct):
    """An answer of a token endpoint, as far as it is of use.

    >>> msgspec.json.decode(b'{"access_token": "…", "expires_in": "3600"}', type=TokenGrant, strict=False).expires_in
    3600.0
    """

    access_token: str
    expires_in: float | None = None
    id_token: str | None = None
    resource_server_base_uri: str | None = None


class DiscoveryDocument(msgspec.Struct):
    """An answer of a discovery document, of OpenID's or of CXone's own.

    >>> DiscoveryDocument(token_endpoint="https://cxone.niceincontact.com/auth/token").api_endpoint
    ''
    """

    token_endpoint: str = ""
    api_endpoint: str = ""


Kind = TypeVar("Kind", TokenGrant, DiscoveryDocument)


@dataclass(frozen=True)
class CXoneToken:
    """A bearer token, the address of the services that it opens, and until when (``time.monotonic()``) it is used."""

    value: str = field(repr=False)
    services: str
    until: float

    @property
    def auth(self) -> AuthorizationHeader:
        """The token as an Authorization header."""
        return AuthorizationHeader(f"Bearer {self.value}")


class CXoneTokens:
    """The token of one application, shared by all threads.

    >>> tokens = CXoneTokens(settings, line)
    >>> token = tokens.get(until=time.monotonic() + 60)
    >>> tokens.drop(token)  # CXone did not take it: the next ``get`` fetches another
    """

    def __init__(self, settings: CXoneSettings, transport: CXoneTransport) -> None:
        self._settings = settings
        self._transport = transport
        self._token: CXoneToken | None = None
        self._lock = threading.Lock()

    def get(self, *, until: float) -> CXoneToken:
        """Give the token that is kept, or a new one.

        Raises ``WorkItemUnsent`` if there is none to be had before ``until``, a time of ``time.monotonic()``.

        Example: ``tokens.get(until=time.monotonic() + 60).services``
        """
        if not self._lock.acquire(timeout=max(0.0, until - time.monotonic())):
            raise WorkItemUnsent("another thread still waits for a token")
        try:
            if self._token is None or time.monotonic() >= self._token.until:
                self._token = self._fetch(until)
                log.info("CXone gave a token for %s", self._token.services)
            return self._token
        finally:
            self._lock.release()

    def drop(self, token: CXoneToken) -> None:
        """Use a token no more; one that another thread has fetched since is kept.

        Example: ``tokens.drop(token)``
        """
        with self._lock:
            if self._token is token:
                self._token = None

    def secrets(self) -> tuple[str, ...]:
        """All that must not be seen: keys, secrets, and the token of now.

        Example: ``reason_in(headers, body, sent=tokens.secrets())``
        """
        mine, token = self._settings, self._token
        return (
            mine.key,
            mine.secret,
            mine.client,
            mine.client_secret,
            *([token.value] if token else []),
        )

    def _fetch(self, until: float) -> CXoneToken:
        asked = (
            time.monotonic()
        )  # its life began at the latest when it was given, so count from before
        granted = self._ask(self._grant(until), TokenGrant, until)
        if not re.fullmatch(r"[\x21-\x7e]+", granted.access_token):
            raise WorkItemUnsent("CXone gave a token that no header can hold")
        life = LIFE if granted.expires_in is None else granted.expires_in
        return CXoneToken(
            granted.access_token,
            self._services(granted, until),
            asked + life - max(EARLY, life / 10),
        )

    def _grant(self, until: float) -> CXoneRequest:
        mine = self._settings
        if mine.auth == "legacy":
            return CXoneRequest(
                method="POST",
                url=f"{_slashless(mine.url)}/InContactAuthorizationServer/Token",
                auth=_basic("basic", mine.key, mine.secret),
                headers=JSON_BODY,
                data=_json({"grant_type": "client_credentials"}),
            )
        if mine.auth == "accesskey":
            return CXoneRequest(
                method="POST",
                url=f"{_slashless(mine.url)}/authentication/v1/token/access-key",
                headers=JSON_BODY,
                data=_json({"accessKeyId": mine.key, "accessKeySecret": mine.secret}),
            )
        found = self._ask(self._discovery("openid-configuration"), DiscoveryDocument, until)
        return CXoneRequest(
            method="POST",
            url=self._address(found.token_endpoint),
            auth=_basic("Basic", mine.client, mine.client_secret),
            data={
                "grant_type": "password",
                "username": mine.key,
                "password": mine.secret,
            },  # a form, encoded
        )

    def _services(self, granted: TokenGrant, until: float) -> str:
        if granted.resource_server_base_uri:
            return f"{self._address(granted.resource_server_base_uri)}/services"
        tenant = _claim(granted.id_token, "tenantId") or _claim(granted.access_token, "tenantId")
        found = self._ask(self._discovery("cxone-configuration", tenant), DiscoveryDocument, until)
        return f"{self._address(found.api_endpoint)}/inContactAPI/services"

    def _discovery(self, name: str, tenant: str = "") -> CXoneRequest:
        url = f"{_slashless(self._settings.url)}/.well-known/{name}"
        return CXoneRequest(method="GET", url=url, params={"tenantId": tenant} if tenant else {})

    def _address(self, url: str) -> str:
        """An address that CXone has named, and that the token or the secret is sent to next."""
        try:
            address = checked_url(url, setting="CXone")
        except BadSetting:
            raise WorkItemUnsent(
                "CXone named an address that is no https URL, so nothing was sent there"
            ) from None
        if is_loopback(address) and not is_loopback(self._settings.url):
            raise WorkItemUnsent(
                "CXone named an address on this machine, so nothing was sent there"
            )
        return address

    def _ask(self, call: CXoneRequest, kind: type[Kind], until: float) -> Kind:
        try:
            answer = self._transport.send(
                call, until=until, safe=True
            )  # a second token harms nobody
        except (WorkItemUnsent, WorkItemInDoubt) as error:
            raise WorkItemUnsent(f"no token: {error.reason}") from None
        if answer.status == 200 and answer.whole:
            try:
                return msgspec.json.decode(answer.body, type=kind, strict=False)
            except (
                msgspec.DecodeError,
                UnicodeError,
                RecursionError,
            ):  # from None: its context holds the answer
                raise WorkItemUnsent("no token: CXone's answer cannot be read") from None
        raise WorkItemUnsent(self._refusal(answer))

    def _refusal(self, answer: CXoneResponse) -> str:
        reason = reason_in(answer.headers, answer.body, sent=self.secrets())
        said = f"{answer.status}: {reason}" if reason else str(answer.status)
        check = (
            f"; check the EVENTLAB_CXONE_ settings ({self._settings.auth})"
            if 300 <= answer.status < 429
            else ""
        )
        return f"no token: CXone answered {said}{check}"


def _slashless(url: str) -> str:
    return url.rstrip("/")


def _json(value: Mapping[str, str]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _basic(scheme: str, user: str, password: str) -> AuthorizationHeader:
    return AuthorizationHeader(
        f"{scheme} {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    )


def _claim(jwt: str | None, name: str) -> str:
    """A claim of a token, unproven: it comes from the authority itself, and only finds an address there."""
    try:
        part = (jwt or "").split(".")[1]
        claims: Any = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        value = claims[name]
    except (IndexError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return value if isinstance(value, str) else ""
