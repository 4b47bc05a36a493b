"""The mailroom's settings: where the mail is, where it goes, and the files with credentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eventlab.mailroom.cxone.settings import CXoneSettings
from eventlab.mailroom.errors import BadSetting
from eventlab.mailroom.urls import checked_url, is_loopback
from eventlab.mailroom.variables import (
    AUTOMATIC_TYPE,
    GMAIL_CLIENT,
    GMAIL_ENDPOINT,
    GMAIL_TOKEN,
    VARIABLES,
    given,
)

#: The category and the collection of the real mail, and those of the sandbox.
REAL_NAMES: Final = ("mailStream", "mailCollection")
SANDBOX_NAMES: Final = ("sandboxMailStream", "sandboxMailCollection")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of ``eventlab route``; ``repr`` shows no secret.

    Raises ``BadSetting``, which names the environment variable.
    """

    gmail_token: Path
    cxone: CXoneSettings
    gmail_client: Path | None = None
    gmail_endpoint: str = VARIABLES[GMAIL_ENDPOINT].default
    automatic_type: str = VARIABLES[AUTOMATIC_TYPE].default

    def __post_init__(self) -> None:
        checked_url(self.gmail_endpoint, setting=GMAIL_ENDPOINT)
        if is_loopback(self.gmail_endpoint) and not is_loopback(self.cxone.url):
            raise BadSetting(
                GMAIL_ENDPOINT,
                "it is on this machine and CXone is not: sample mail must not reach agents",
            )

    @property
    def names(self) -> tuple[str, str]:
        """The category and the collection: the sandbox's own as soon as either server is a fake.

        Otherwise a trial with a fake CXone would record real mails as submitted, and no later round
        would send them.

        >>> settings.names
        ('mailStream', 'mailCollection')
        """
        fake = is_loopback(self.gmail_endpoint) or is_loopback(self.cxone.url)
        return SANDBOX_NAMES if fake else REAL_NAMES

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Settings:
        """Read the settings from environment variables, which ``VARIABLES`` lists.

        Raises ``BadSetting``, which names the variable.
        """
        values = given(env)
        if not values[GMAIL_TOKEN]:
            raise BadSetting(
                GMAIL_TOKEN,
                f"it is missing ({VARIABLES[GMAIL_TOKEN].meaning}): "
                "set it, or try --sandbox, which needs no settings",
            )
        token = Path(values[GMAIL_TOKEN]).expanduser()
        client = values[GMAIL_CLIENT]
        if not client and not token.exists():
            raise BadSetting(GMAIL_CLIENT, f"it is missing ({VARIABLES[GMAIL_CLIENT].meaning})")
        return cls(
            gmail_token=token,
            gmail_client=Path(client).expanduser() if client else None,
            gmail_endpoint=values[GMAIL_ENDPOINT],
            cxone=CXoneSettings.from_environment(env),
            automatic_type=values[AUTOMATIC_TYPE],
        )
