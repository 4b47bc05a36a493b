"""The mailroom's settings: where the mail is, where it goes, and which files open the doors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eventlab.mailroom.cxone.settings import VARIABLES as CXONE_VARIABLES
from eventlab.mailroom.cxone.settings import CXoneSettings
from eventlab.mailroom.errors import BadSetting
from eventlab.mailroom.urls import checked_url, is_loopback

GMAIL: Final = "https://gmail.googleapis.com"
ENDPOINT: Final = "EVENTLAB_GMAIL_ENDPOINT"
CLIENT: Final = "EVENTLAB_GMAIL_CLIENT"
TOKEN: Final = "EVENTLAB_GMAIL_TOKEN"
AUTOMATIC: Final = "EVENTLAB_AUTOMATIC_TYPE"
#: Each environment variable, and what it is for; ``eventlab route --help`` shows them.
VARIABLES: Final[Mapping[str, str]] = {
    ENDPOINT: f"Gmail's API ({GMAIL})",
    CLIENT: "the client file, an OAuth client of type 'Desktop app'; needed until there is a token file",
    TOKEN: "the token file; made by the first run, when you have given consent",
    **CXONE_VARIABLES,
    AUTOMATIC: "the work item type of mail that no person wrote (email, as of all other mail)",
}
REAL: Final = ("mailStream", "mailCollection")
SANDBOX: Final = ("sandboxMailStream", "sandboxMailCollection")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that ``eventlab route`` has to know; no secret is shown by ``repr``.

    Raises ``BadSetting``, in the name of the environment variable.

    Example: ``Settings(gmail_token=Path("token.json"), cxone=CXoneSettings(...))``
    """

    gmail_token: Path
    cxone: CXoneSettings
    gmail_client: Path | None = None
    gmail_endpoint: str = GMAIL
    automatic_type: str = "email"

    def __post_init__(self) -> None:
        checked_url(self.gmail_endpoint, setting=ENDPOINT)
        if is_loopback(self.gmail_endpoint) and not is_loopback(self.cxone.url):
            raise BadSetting(
                ENDPOINT, "it is this machine, and CXone is not: sample mail is not for agents"
            )

    @property
    def names(self) -> tuple[str, str]:
        """The category and the collection that go with these: the sandbox's mails are not among the real ones.

        >>> settings.names
        ('mailStream', 'mailCollection')
        """
        return SANDBOX if is_loopback(self.gmail_endpoint) else REAL

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Settings:
        """Read the settings from environment variables; VARIABLES lists them.

        Raises ``BadSetting``, which names the variable.

        Example: ``Settings.from_environment(os.environ)``
        """
        given = {name: env.get(name, "").strip() for name in VARIABLES}
        if not given[TOKEN]:
            raise BadSetting(
                TOKEN,
                f"it is missing: {VARIABLES[TOKEN]} (or try --sandbox, which needs no settings)",
            )
        token, client = Path(given[TOKEN]).expanduser(), given[CLIENT]
        if not client and not token.exists():
            raise BadSetting(CLIENT, f"it is missing: {VARIABLES[CLIENT]}")
        return cls(
            gmail_token=token,
            gmail_client=Path(client).expanduser() if client else None,
            gmail_endpoint=given[ENDPOINT] or GMAIL,
            cxone=CXoneSettings.from_environment(env),
            automatic_type=given[AUTOMATIC] or "email",
        )
