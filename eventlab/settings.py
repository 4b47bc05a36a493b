"""Every environment variable that eventlab reads, with its meaning and its default.

This module describes the variables but does not read them. The table under "Configuration" in the
README is generated from this module (``make settings``).
"""

from __future__ import annotations

from typing import Final, NamedTuple

REDIS_URL: Final = "EVENTLAB_REDIS_URL"
MONGODB_URL: Final = "EVENTLAB_MONGODB_URL"
ALLOW_EVICTION: Final = "EVENTLAB_ALLOW_EVICTION"
DATA: Final = "EVENTLAB_DATA"
RUNTIME: Final = "EVENTLAB_RUNTIME"
GRACE: Final = "EVENTLAB_GRACE"
REDIS_SERVER: Final = "EVENTLAB_REDIS_SERVER"
MONGOD: Final = "EVENTLAB_MONGOD"
CATEGORY: Final = "EVENTLAB_CATEGORY"
COLLECTION: Final = "EVENTLAB_COLLECTION"
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
SKIPPED_KINDS: Final = "EVENTLAB_SKIPPED_KINDS"
BLOCKLIST: Final = "EVENTLAB_BLOCKLIST"
SENDER_CAP: Final = "EVENTLAB_SENDER_CAP"


class Variable(NamedTuple):
    """The meaning of an environment variable, and its default ("" if it has none).

    >>> MAILROOM[CXONE_VERSION].default
    'v30.0'
    """

    meaning: str
    default: str = ""

    def __str__(self) -> str:
        """Return the meaning, with the default in parentheses if there is one."""
        return f"{self.meaning} (default: {self.default})" if self.default else self.meaning


SERVERS: Final[dict[str, Variable]] = {
    REDIS_URL: Variable(
        "URL of your own Redis server (7.0 or newer): redis://, rediss://, unix:// or "
        "redis+sentinel://",
        "a private Redis",
    ),
    MONGODB_URL: Variable("URL of your own MongoDB replica set", "a private MongoDB"),
    ALLOW_EVICTION: Variable(
        "set it to 1 to allow a Redis that deletes keys, and so loses events, when memory is full"
    ),
    DATA: Variable("directory where the private servers keep their data", "your user data folder"),
    RUNTIME: Variable("directory for the private servers' sockets", "a short per-user path"),
    GRACE: Variable(
        "seconds that the private servers keep running after the last process disconnects", "5"
    ),
    REDIS_SERVER: Variable(
        "path of the redis-server program",
        "the program in the installed wheel, or else the one on PATH",
    ),
    MONGOD: Variable(
        "path of the mongod program", "the program in the installed wheel, or else the one on PATH"
    ),
}
SERVICE: Final[dict[str, Variable]] = {
    CATEGORY: Variable(
        "category that the account service reads and writes; `eventlab serve --category` sets it",
        "accountStream",
    ),
    COLLECTION: Variable(
        "collection that the account service lists; `eventlab serve --collection` sets it",
        "accountCollection",
    ),
}
#: ``eventlab route --help`` lists these variables in this order.
MAILROOM: Final[dict[str, Variable]] = {
    GMAIL_ENDPOINT: Variable("URL of the Gmail API", "https://gmail.googleapis.com"),
    GMAIL_CLIENT: Variable(
        "client file of an OAuth client of type 'Desktop app'; needed until the token file exists"
    ),
    GMAIL_TOKEN: Variable("token file; the first run creates it when you give consent"),
    CXONE_AUTH: Variable("how to sign in: oidc, accesskey or legacy", "oidc"),
    CXONE_URL: Variable(
        "URL of the authorization server; required for accesskey "
        "(https://AREA.nice-incontact.com); for oidc and legacy, NICE's server is the default"
    ),
    CXONE_KEY: Variable("id of the access key; for legacy: application@vendor"),
    CXONE_SECRET: Variable("secret of the access key; for legacy: the application's key"),
    CXONE_CLIENT: Variable("for oidc: client id that NICE issued to the application"),
    CXONE_CLIENT_SECRET: Variable("for oidc: client secret that belongs to the client id"),
    CXONE_POC: Variable(
        "name of the point of contact in CXone, or a name for each of your addresses: "
        "returns@shop.example=Returns, @b2b.example=Sales, *=Support"
    ),
    CXONE_VERSION: Variable("version of the API", "v30.0"),
    CXONE_WHERE: Variable(
        "part of the request that contains the point of contact: body or query", "body"
    ),
    AUTOMATIC_TYPE: Variable("work item type for automated email (auto-replies, bulk)", "email"),
    SKIPPED_KINDS: Variable(
        "kinds of email to skip: none, or any of bounce, receipt, complaint, reaction, "
        "calendar, reply, notice, list, bulk, loop",
        "reaction, loop",
    ),
    BLOCKLIST: Variable(
        "senders whose emails are skipped: addresses and @domains, separated by commas"
    ),
    SENDER_CAP: Variable(
        "maximum number of emails from one sender that become work items per hour; the others are "
        "held for review; 0: no limit",
        "100",
    ),
}
#: All variables, grouped by the part of eventlab that reads them.
VARIABLES: Final[dict[str, dict[str, Variable]]] = {
    "Servers": SERVERS,
    "Account service": SERVICE,
    "Mailroom": MAILROOM,
}
