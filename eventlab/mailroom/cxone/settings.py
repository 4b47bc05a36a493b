"""CXone's settings: its URL, our credentials, and the points of contact for mail."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal, cast, get_args

from eventlab.mailroom.cxone.points import PointsOfContact
from eventlab.mailroom.errors import BadSetting
from eventlab.mailroom.urls import checked_url
from eventlab.mailroom.variables import (
    CXONE_AUTH,
    CXONE_CLIENT,
    CXONE_CLIENT_SECRET,
    CXONE_KEY,
    CXONE_POC,
    CXONE_SECRET,
    CXONE_URL,
    CXONE_VERSION,
    CXONE_WHERE,
    VARIABLES,
    given,
)

AuthMethod = Literal["legacy", "accesskey", "oidc"]
PointOfContactPlace = Literal["body", "query"]

AUTHORITIES: Final[Mapping[str, str]] = {
    "legacy": "https://api.incontact.com",
    "oidc": "https://cxone.niceincontact.com",
}


@dataclass(frozen=True, kw_only=True)
class CXoneSettings:
    """The settings that are needed to reach CXone; ``repr`` shows neither keys nor secrets.

    ``auth`` is the sign-in method: ``oidc`` (current: an access key and a client), ``accesskey``,
    or ``legacy`` (used by the original Node.js program). ``url`` is the URL of the server that
    issues tokens; http is accepted only if that server is on this machine. ``point_of_contact`` is
    one name, or a name for each address; ``points`` contains the parsed value. ``where`` says
    whether the point of contact is sent in the ``body`` or in the ``query``. The email itself is
    always sent in the body, because URLs end up in logs.

    Raises ``BadSetting``, which names the environment variable.
    """

    auth: AuthMethod
    url: str
    key: str = field(repr=False)
    secret: str = field(repr=False)
    point_of_contact: str
    client: str = field(default="", repr=False)
    client_secret: str = field(default="", repr=False)
    version: str = VARIABLES[CXONE_VERSION].default
    where: PointOfContactPlace = "body"

    def __post_init__(self) -> None:
        _one_of(get_args(AuthMethod), self.auth, CXONE_AUTH)
        _one_of(get_args(PointOfContactPlace), self.where, CXONE_WHERE)
        checked_url(self.url, setting=CXONE_URL)
        values = {
            CXONE_URL: self.url,
            CXONE_KEY: self.key,
            CXONE_SECRET: self.secret,
            CXONE_POC: self.point_of_contact,
            CXONE_CLIENT: self.client,
            CXONE_CLIENT_SECRET: self.client_secret,
        }
        for name in needed_by(self.auth):
            value = values[name]
            if not value:
                raise BadSetting(name, f"it is missing ({VARIABLES[name].meaning})")
            if not value.isprintable():
                raise BadSetting(name, "it contains a character that cannot be sent")
        _ = self.points  # raises BadSetting for an invalid entry
        if self.auth == "legacy" and ":" in self.key:
            raise BadSetting(CXONE_KEY, "it must be application@vendor, without a colon")
        if not re.fullmatch(r"v\d{1,3}\.\d{1,3}", self.version):
            raise BadSetting(CXONE_VERSION, "it must look like v30.0")

    @cached_property
    def points(self) -> PointsOfContact:
        """The point of contact for each address."""
        return PointsOfContact.parse(self.point_of_contact)

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> CXoneSettings:
        """Read the settings from the environment variables that ``VARIABLES`` lists.

        Raises ``BadSetting``, which names the variable.
        """
        values = given(env)
        auth = values[CXONE_AUTH]
        url = values[CXONE_URL] or AUTHORITIES.get(auth, "")
        if not url and auth in get_args(AuthMethod):
            raise BadSetting(CXONE_URL, f"it is missing ({VARIABLES[CXONE_URL].meaning})")
        version = values[CXONE_VERSION]
        return cls(
            auth=cast("AuthMethod", auth),  # checked by __post_init__
            url=url.rstrip("/"),
            key=values[CXONE_KEY],
            secret=values[CXONE_SECRET],
            point_of_contact=values[CXONE_POC],
            client=values[CXONE_CLIENT],
            client_secret=values[CXONE_CLIENT_SECRET],
            version=version if version.startswith("v") else f"v{version}",
            where=cast("PointOfContactPlace", values[CXONE_WHERE]),
        )


def needed_by(auth: str) -> tuple[str, ...]:
    """Return the names of the variables that a sign-in method requires.

    >>> needed_by("legacy")
    ('EVENTLAB_CXONE_KEY', 'EVENTLAB_CXONE_SECRET', 'EVENTLAB_CXONE_POC')
    """
    always = (CXONE_KEY, CXONE_SECRET, CXONE_POC)
    match auth:
        case "oidc":
            return (CXONE_CLIENT, CXONE_CLIENT_SECRET, *always)
        case "accesskey":
            return (CXONE_URL, *always)
    return always


def _one_of(known: tuple[str, ...], value: str, name: str) -> None:
    if value not in known:
        raise BadSetting(name, f"it must be one of {', '.join(known)}")
