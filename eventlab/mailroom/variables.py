"""The environment variables of the mailroom: their names, meanings and defaults, in one list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Variable(NamedTuple):
    """What an environment variable means, and what holds when it is not set ("" if nothing does).

    >>> VARIABLES[CXONE_VERSION].default
    'v30.0'
    """

    meaning: str
    default: str = ""

    def __str__(self) -> str:
        """Return the meaning with the default in parentheses."""
        return f"{self.meaning} (default: {self.default})" if self.default else self.meaning


GMAIL_ENDPOINT: Final = "EVENTLAB_GMAIL_ENDPOINT"
GMAIL_CLIENT: Final = "EVENTLAB_GMAIL_CLIENT"
GMAIL_TOKEN: Final = "EVENTLAB_GMAIL_TOKEN"
CXONE_AUTH: Final = "EVENTLAB_CXONE_AUTH"
CXONE_URL: Final = "EVENTLAB_CXONE_URL"
CXONE_KEY: Final = "EVENTLAB_CXONE_KEY"
CXONE_SECRET: Final = "EVENTLAB_CXONE_SECRET"
CXONE_CLIENT: Final = "EVENTLAB_CXONE_CLIENT"
CXONE_CLIENT_SECRET: Final = "EVENTLAB_CXONE_CLIENT_SECRET"
CXONE_POC: Final = "EVENTLAB_CXONE_POC"
CXONE_VERSION: Final = "EVENTLAB_CXONE_VERSION"
CXONE_WHERE: Final = "EVENTLAB_CXONE_WHERE"
AUTOMATIC_TYPE: Final = "EVENTLAB_AUTOMATIC_TYPE"

#: ``eventlab route --help`` shows them in this order.
VARIABLES: Final[Mapping[str, Variable]] = {
    GMAIL_ENDPOINT: Variable("URL of the Gmail API", "https://gmail.googleapis.com"),
    GMAIL_CLIENT: Variable(
        "client file of an OAuth client of type 'Desktop app'; needed until the token file exists"
    ),
    GMAIL_TOKEN: Variable("token file; the first run creates it when you give consent"),
    CXONE_AUTH: Variable("how to sign in: oidc, accesskey or legacy", "oidc"),
    CXONE_URL: Variable(
        "URL of the authority; required for accesskey (https://AREA.nice-incontact.com), "
        "otherwise NICE's own by default"
    ),
    CXONE_KEY: Variable("id of the access key; for legacy application@vendor"),
    CXONE_SECRET: Variable("secret of the access key; for legacy the application's key"),
    CXONE_CLIENT: Variable("for oidc: client id that NICE issued to the application"),
    CXONE_CLIENT_SECRET: Variable("for oidc: client secret that belongs to the client id"),
    CXONE_POC: Variable("point of contact, as CXone names it"),
    CXONE_VERSION: Variable("version of the API", "v30.0"),
    CXONE_WHERE: Variable("where the point of contact is sent: body or query", "body"),
    AUTOMATIC_TYPE: Variable("work item type of automatic mail (auto-replies, bulk)", "email"),
}


def given(env: Mapping[str, str]) -> dict[str, str]:
    """Return each variable's value in ``env`` without surrounding spaces, its default if it is empty.

    >>> given({"EVENTLAB_CXONE_WHERE": " query "})["EVENTLAB_CXONE_WHERE"]
    'query'
    """
    return {
        name: env.get(name, "").strip() or variable.default for name, variable in VARIABLES.items()
    }
