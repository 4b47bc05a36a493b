"""CXone's tokens: fetched by one of three sign-in methods, and kept until shortly before expiry."""

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

#: The lifetime of a token if the response does not state one.
DEFAULT_LIFE_SECONDS: Final = 3600.0
#: A token is replaced at least this long, and at least a tenth of its lifetime, before it expires.
EXPIRY_MARGIN_SECONDS: Final = 60.0
JSON_BODY: Final = {"Content-Type": "application/json; charset=utf-8"}


class TokenGrant(msgspec.Struct):
    """The fields of a token endpoint's response that are used here."""

    access_token: str
    expires_in: float | None = None
    id_token: str | None = None
    resource_server_base_uri: str | None = None


class DiscoveryDocument(msgspec.Struct):
    """The fields of a discovery document, either OpenID's or CXone's, that are used here."""

    token_endpoint: str = ""
    api_endpoint: str = ""


Document = TypeVar("Document", TokenGrant, DiscoveryDocument)


@dataclass(frozen=True)
class CXoneToken:
    """A bearer token and the URL of the services that accept it.

    ``expires_at`` is a ``time.monotonic()`` value shortly before the token actually expires.
    """

    value: str = field(repr=False)
    services: str
    expires_at: float

    @property
    def auth(self) -> AuthorizationHeader:
        """The Authorization header that contains the token."""
        return AuthorizationHeader(f"Bearer {self.value}")


class CXoneTokens:
    """The current token of one application, shared by all threads."""

    def __init__(self, settings: CXoneSettings, transport: CXoneTransport) -> None:
        self._settings = settings
        self._transport = transport
        self._token: CXoneToken | None = None
        self._lock = threading.Lock()

    def get(self, *, deadline: float) -> CXoneToken:
        """Return the current token, or fetch a new one if it has expired.

        Raises ``WorkItemUnsent`` if CXone issues no token before ``deadline``, which is a
        ``time.monotonic()`` value.
        """
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise WorkItemUnsent("another thread is still waiting for a token")
        try:
            if self._token is None or time.monotonic() >= self._token.expires_at:
                self._token = self._fetch(deadline)
                log.info("CXone issued a token for %s", self._token.services)
            return self._token
        finally:
            self._lock.release()

    def drop(self, token: CXoneToken) -> None:
        """Stop using a token, but keep a newer token that another thread has fetched."""
        with self._lock:
            if self._token is token:
                self._token = None

    def secrets(self) -> tuple[str, ...]:
        """Return everything that must not be logged: keys, secrets and the current token."""
        known = self._settings
        token = self._token
        secrets = (known.key, known.secret, known.client, known.client_secret)
        return (*secrets, token.value) if token else secrets

    def _fetch(self, deadline: float) -> CXoneToken:
        # The lifetime is counted from the start of the request, so no expired token is used.
        requested_at = time.monotonic()
        granted = self._fetch_json(self._token_request(deadline), TokenGrant, deadline)
        if not re.fullmatch(r"[\x21-\x7e]+", granted.access_token):
            raise WorkItemUnsent(
                "CXone issued a token with characters that a header cannot contain"
            )
        life = DEFAULT_LIFE_SECONDS if granted.expires_in is None else granted.expires_in
        return CXoneToken(
            granted.access_token,
            self._services(granted, deadline),
            requested_at + life - max(EXPIRY_MARGIN_SECONDS, life / 10),
        )

    def _token_request(self, deadline: float) -> CXoneRequest:
        known = self._settings
        if known.auth == "legacy":
            return CXoneRequest(
                method="POST",
                url=f"{_without_slash(known.url)}/InContactAuthorizationServer/Token",
                auth=_basic("basic", known.key, known.secret),
                headers=JSON_BODY,
                data=_json({"grant_type": "client_credentials"}),
            )
        if known.auth == "accesskey":
            return CXoneRequest(
                method="POST",
                url=f"{_without_slash(known.url)}/authentication/v1/token/access-key",
                headers=JSON_BODY,
                data=_json({"accessKeyId": known.key, "accessKeySecret": known.secret}),
            )
        found = self._fetch_json(
            self._discovery("openid-configuration"), DiscoveryDocument, deadline
        )
        return CXoneRequest(
            method="POST",
            url=self._address(found.token_endpoint),
            auth=_basic("Basic", known.client, known.client_secret),
            # a form, not JSON
            data={"grant_type": "password", "username": known.key, "password": known.secret},
        )

    def _services(self, granted: TokenGrant, deadline: float) -> str:
        if granted.resource_server_base_uri:
            return f"{self._address(granted.resource_server_base_uri)}/services"
        tenant = _claim(granted.id_token, "tenantId") or _claim(granted.access_token, "tenantId")
        found = self._fetch_json(
            self._discovery("cxone-configuration", tenant), DiscoveryDocument, deadline
        )
        return f"{self._address(found.api_endpoint)}/inContactAPI/services"

    def _discovery(self, name: str, tenant: str = "") -> CXoneRequest:
        url = f"{_without_slash(self._settings.url)}/.well-known/{name}"
        return CXoneRequest(method="GET", url=url, params={"tenantId": tenant} if tenant else {})

    def _address(self, url: str) -> str:
        """Check that tokens and secrets may be sent to a URL from CXone, and return the URL."""
        try:
            address = checked_url(url, setting="CXone")
        except BadSetting:
            raise WorkItemUnsent(
                "CXone returned an address that is not an https URL, so nothing was sent there"
            ) from None
        if is_loopback(address) and not is_loopback(self._settings.url):
            raise WorkItemUnsent(
                "CXone returned an address on this machine, so nothing was sent there"
            )
        return address

    def _fetch_json(self, request: CXoneRequest, kind: type[Document], deadline: float) -> Document:
        try:
            # Safe to retry: a second token does no harm.
            response = self._transport.send(request, deadline=deadline, safe=True)
        except (WorkItemUnsent, WorkItemInDoubt) as error:
            raise WorkItemUnsent(f"no token: {error.reason}") from None
        if response.status == 200 and response.complete:
            try:
                return msgspec.json.decode(response.body, type=kind, strict=False)
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                # "from None", because the context contains the response
                raise WorkItemUnsent("no token: CXone's response cannot be read") from None
        raise WorkItemUnsent(self._rejected_message(response))

    def _rejected_message(self, response: CXoneResponse) -> str:
        reason = reason_in(response.headers, response.body, sent=self.secrets())
        answered = f"{response.status}: {reason}" if reason else str(response.status)
        check = (
            f"; check the EVENTLAB_CXONE_ settings ({self._settings.auth})"
            if 300 <= response.status < 429
            else ""
        )
        return f"no token: CXone responded with {answered}{check}"


def _without_slash(url: str) -> str:
    return url.rstrip("/")


def _json(value: Mapping[str, str]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _basic(scheme: str, user: str, password: str) -> AuthorizationHeader:
    return AuthorizationHeader(
        f"{scheme} {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    )


def _claim(jwt: str | None, name: str) -> str:
    """Return an unverified claim of a JWT; the claim is only used to look up a URL."""
    try:
        part = (jwt or "").split(".")[1]
        claims: Any = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        value = claims[name]
    except (IndexError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return value if isinstance(value, str) else ""
