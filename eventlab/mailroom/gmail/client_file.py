"""The client file: what Google gave the application, so that a person can give it consent."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from eventlab.mailroom.errors import BadSetting
from eventlab.mailroom.urls import checked_url
from eventlab.mailroom.variables import GMAIL_CLIENT

HOW: Final = (
    "download the JSON of an OAuth client of type 'Desktop app' from the Google Cloud console"
)


@dataclass(frozen=True)
class OAuthClient:
    """An OAuth client of type "Desktop app"; its secret is not shown."""

    id: str
    secret: str = field(repr=False)
    auth_uri: str
    token_uri: str

    @classmethod
    def load(cls, path: str | Path) -> OAuthClient:
        """Read a client file as Google's console gives it.

        Raises ``BadSetting`` with a sentence for each way that such a file is of no use.

        Example: ``OAuthClient.load("client_secret.json").auth_uri``
        """
        kinds = read_json(path, setting=GMAIL_CLIENT, how=HOW)
        if "installed" not in kinds:
            web = (
                "is for a web application, whose redirects are fixed"
                if "web" in kinds
                else "is no OAuth client"
            )
            raise BadSetting(GMAIL_CLIENT, f"{path} {web}: {HOW}")
        found = kinds["installed"]
        names = ("client_id", "client_secret", "auth_uri", "token_uri")
        values = (
            [found.get(name) for name in names] if isinstance(found, dict) else [None] * len(names)
        )
        for name, value in zip(names, values, strict=True):
            if not isinstance(value, str) or not value:
                raise BadSetting(GMAIL_CLIENT, f"{path} has no {name}: {HOW}")
        id, secret, auth_uri, token_uri = map(str, values)
        return cls(
            id,
            secret,
            checked_url(auth_uri, setting=GMAIL_CLIENT),
            checked_url(token_uri, setting=GMAIL_CLIENT),
        )


def read_json(path: str | Path, *, setting: str, how: str) -> dict[str, Any]:
    """Read a file that holds one JSON object; ``how`` says what to do when it does not.

    Raises ``BadSetting``, in the name of the setting that holds the path.

    Example: ``read_json("token.json", setting="EVENTLAB_GMAIL_TOKEN", how="give consent again")``
    """
    try:
        value = json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise BadSetting(setting, f"there is no file {path}: {how}") from None
    except OSError as error:
        raise BadSetting(setting, f"{path} cannot be read ({error.strerror}): {how}") from None
    except ValueError:  # from None: the parser's error quotes the file, which holds secrets
        raise BadSetting(setting, f"{path} is not JSON: {how}") from None
    if not isinstance(value, dict):
        raise BadSetting(setting, f"{path} is JSON, but no object: {how}")
    return value
