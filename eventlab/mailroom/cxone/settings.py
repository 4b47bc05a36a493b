"""Where CXone is, who we are there, and which point of contact takes the mail."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, cast, get_args

from eventlab.mailroom.errors import BadSetting
from eventlab.mailroom.urls import checked_url

Style = Literal["legacy", "accesskey", "oidc"]
Where = Literal["body", "query"]

PREFIX: Final = "EVENTLAB_CXONE_"
#: Each environment variable, and what it is for; ``eventlab route --help`` shows them.
VARIABLES: Final[Mapping[str, str]] = {
    f"{PREFIX}AUTH": "how to sign in: oidc (the default), accesskey or legacy",
    f"{PREFIX}URL": "the authority; for accesskey https://AREA.nice-incontact.com, else NICE's own if not given",
    f"{PREFIX}KEY": "the access key's id; for legacy application@vendor",
    f"{PREFIX}SECRET": "the access key's secret; for legacy the application's key",
    f"{PREFIX}CLIENT": "for oidc: the client id that NICE gave to the application",
    f"{PREFIX}CLIENT_SECRET": "for oidc: the client secret that came with it",
    f"{PREFIX}POC": "the point of contact, as CXone names it",
    f"{PREFIX}VERSION": "the API's version (v30.0)",
    f"{PREFIX}WHERE": "where the point of contact is said: body (the default) or query",
}
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
    version: str = "v30.0"
    where: Where = "body"

    def __post_init__(self) -> None:
        _one_of(get_args(Style), self.auth, "AUTH")
        _one_of(get_args(Where), self.where, "WHERE")
        checked_url(self.url, setting=f"{PREFIX}URL")
        needed = {"KEY": self.key, "SECRET": self.secret, "POC": self.point_of_contact}
        if self.auth == "oidc":
            needed |= {"CLIENT": self.client, "CLIENT_SECRET": self.client_secret}
        for name, value in needed.items():
            if not value:
                raise BadSetting(PREFIX + name, f"it is missing: {VARIABLES[PREFIX + name]}")
            if not value.isprintable():
                raise BadSetting(PREFIX + name, "it holds a character that cannot be sent")
        if self.auth == "legacy" and ":" in self.key:
            raise BadSetting(f"{PREFIX}KEY", "it must be application@vendor, without a colon")
        if not re.fullmatch(r"v\d{1,3}\.\d{1,3}", self.version):
            raise BadSetting(f"{PREFIX}VERSION", "it must look like v30.0")

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> CXoneSettings:
        """Read the settings from environment variables; VARIABLES lists them.

        Raises ``BadSetting``, which names the variable.

        Example: ``CXoneSettings.from_environment(os.environ)``
        """
        given = {name: env.get(name, "").strip() for name in VARIABLES}
        auth = given[f"{PREFIX}AUTH"] or "oidc"
        url = given[f"{PREFIX}URL"] or AUTHORITIES.get(auth, "")
        if not url and auth in get_args(Style):
            raise BadSetting(f"{PREFIX}URL", f"it is missing: {VARIABLES[f'{PREFIX}URL']}")
        version = given[f"{PREFIX}VERSION"] or cls.version
        return cls(
            auth=cast("Style", auth),  # checked on the way in
            url=url.rstrip("/"),
            key=given[f"{PREFIX}KEY"],
            secret=given[f"{PREFIX}SECRET"],
            point_of_contact=given[f"{PREFIX}POC"],
            client=given[f"{PREFIX}CLIENT"],
            client_secret=given[f"{PREFIX}CLIENT_SECRET"],
            version=version if version.startswith("v") else f"v{version}",
            where=cast("Where", given[f"{PREFIX}WHERE"] or "body"),
        )


def _one_of(known: tuple[str, ...], value: str, name: str) -> None:
    if value not in known:
        raise BadSetting(PREFIX + name, f"it must be one of {', '.join(known)}")
