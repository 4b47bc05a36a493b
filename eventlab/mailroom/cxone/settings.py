"""Where CXone is, who we are there, and which point of contact takes the mail."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, cast, get_args

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

Style = Literal["legacy", "accesskey", "oidc"]
Where = Literal["body", "query"]

AUTHORITIES: Final[Mapping[str, str]] = {
    "legacy": "https://api.incontact.com",
    "oidc": "https://cxone.niceincontact.com",
}


@dataclass(frozen=True, kw_only=True)
class CXoneSettings:
    """How to reach CXone; no key and no secret is shown by ``repr``.

    ``auth`` is the way to sign in: ``oidc`` (current: an access key and a client), ``accesskey``, ``legacy`` (as the
    original). ``url`` is the authority that gives tokens, http on this machine only. ``where`` is ``body``, or
    ``query``: the point of contact in the URL. What is of the mail is never there: URLs end up in logs.

    Raises ``BadSetting``, in the name of the environment variable.

    >>> CXoneSettings(auth="legacy", url=AUTHORITIES["legacy"], key="app@vendor", secret="…", point_of_contact="mail")
    CXoneSettings(auth='legacy', url='https://api.incontact.com', point_of_contact='mail', version='v30.0', ...)
    """

    auth: Style
    url: str
    key: str = field(repr=False)
    secret: str = field(repr=False)
    point_of_contact: str
    client: str = field(default="", repr=False)
    client_secret: str = field(default="", repr=False)
    version: str = VARIABLES[CXONE_VERSION].default
    where: Where = "body"

    def __post_init__(self) -> None:
        _one_of(get_args(Style), self.auth, CXONE_AUTH)
        _one_of(get_args(Where), self.where, CXONE_WHERE)
        checked_url(self.url, setting=CXONE_URL)
        needed = {
            CXONE_KEY: self.key,
            CXONE_SECRET: self.secret,
            CXONE_POC: self.point_of_contact,
        }
        if self.auth == "oidc":
            needed |= {CXONE_CLIENT: self.client, CXONE_CLIENT_SECRET: self.client_secret}
        for name, value in needed.items():
            if not value:
                raise BadSetting(name, f"it is missing: {VARIABLES[name].meaning}")
            if not value.isprintable():
                raise BadSetting(name, "it holds a character that cannot be sent")
        if self.auth == "legacy" and ":" in self.key:
            raise BadSetting(CXONE_KEY, "it must be application@vendor, without a colon")
        if not re.fullmatch(r"v\d{1,3}\.\d{1,3}", self.version):
            raise BadSetting(CXONE_VERSION, "it must look like v30.0")

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> CXoneSettings:
        """Read the settings from environment variables; VARIABLES lists them.

        Raises ``BadSetting``, which names the variable.

        Example: ``CXoneSettings.from_environment(os.environ)``
        """
        values = given(env)
        auth = values[CXONE_AUTH]
        url = values[CXONE_URL] or AUTHORITIES.get(auth, "")
        if not url and auth in get_args(Style):
            raise BadSetting(CXONE_URL, f"it is missing: {VARIABLES[CXONE_URL].meaning}")
        version = values[CXONE_VERSION]
        return cls(
            auth=cast("Style", auth),  # checked on the way in
            url=url.rstrip("/"),
            key=values[CXONE_KEY],
            secret=values[CXONE_SECRET],
            point_of_contact=values[CXONE_POC],
            client=values[CXONE_CLIENT],
            client_secret=values[CXONE_CLIENT_SECRET],
            version=version if version.startswith("v") else f"v{version}",
            where=cast("Where", values[CXONE_WHERE]),
        )


def _one_of(known: tuple[str, ...], value: str, name: str) -> None:
    if value not in known:
        raise BadSetting(name, f"it must be one of {', '.join(known)}")
