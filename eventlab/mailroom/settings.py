"""The mailroom's settings: where mail comes from, where it goes, and which credentials to use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from eventlab.mailroom.cxone.settings import CXoneSettings, needed_by
from eventlab.mailroom.errors import BadSetting, SettingsMissing
from eventlab.mailroom.names import REAL_NAMES, SANDBOX_NAMES
from eventlab.mailroom.selection import Selection
from eventlab.mailroom.urls import checked_url, is_loopback
from eventlab.mailroom.variables import (
    AUTOMATIC_TYPE,
    CXONE_AUTH,
    GMAIL_CLIENT,
    GMAIL_ENDPOINT,
    GMAIL_TOKEN,
    VARIABLES,
    given,
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of ``eventlab route``; ``repr`` shows no secrets.

    Raises ``BadSetting``, which names the environment variable.
    """

    gmail_token: Path
    cxone: CXoneSettings
    gmail_client: Path | None = None
    gmail_endpoint: str = VARIABLES[GMAIL_ENDPOINT].default
    automatic_type: str = VARIABLES[AUTOMATIC_TYPE].default
    selection: Selection = field(default_factory=Selection)

    def __post_init__(self) -> None:
        checked_url(self.gmail_endpoint, setting=GMAIL_ENDPOINT)
        if is_loopback(self.gmail_endpoint) and not is_loopback(self.cxone.url):
            raise BadSetting(
                GMAIL_ENDPOINT,
                "it is on this machine but CXone is not: sample emails must not reach real agents, "
                "so use fake servers for both",
            )

    @property
    def names(self) -> tuple[str, str]:
        """The names of the category and collection: the sandbox's names if a server is a fake.

        If a trial with a fake CXone used the real names, it would record real emails as submitted,
        and no later round would send them.

        >>> settings.names
        ('mailStream', 'mailCollection')
        """
        return SANDBOX_NAMES if self.is_trial else REAL_NAMES

    @property
    def is_trial(self) -> bool:
        """Whether Gmail or CXone is a fake server on this machine."""
        return is_loopback(self.gmail_endpoint) or is_loopback(self.cxone.url)

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> Settings:
        """Read the settings from the environment variables that ``VARIABLES`` lists.

        Raises ``BadSetting``, which names the variable, or ``SettingsMissing``, which names all
        variables that are missing.
        """
        values = given(env)
        token = Path(values[GMAIL_TOKEN]).expanduser()
        client = values[GMAIL_CLIENT]
        missing = [] if values[GMAIL_TOKEN] else [GMAIL_TOKEN]
        if not client and not (values[GMAIL_TOKEN] and token.exists()):
            missing.append(GMAIL_CLIENT)
        missing += [name for name in needed_by(values[CXONE_AUTH]) if not values[name]]
        if len(missing) > 1:
            raise SettingsMissing(missing)
        if missing:
            raise BadSetting(
                missing[0],
                f"it is missing ({VARIABLES[missing[0]].meaning}): "
                "set it, or try --sandbox, which needs no settings",
            )
        return cls(
            gmail_token=token,
            gmail_client=Path(client).expanduser() if client else None,
            gmail_endpoint=values[GMAIL_ENDPOINT],
            cxone=CXoneSettings.from_environment(env),
            automatic_type=values[AUTOMATIC_TYPE],
            selection=Selection.parse(values),
        )
