"""The client file: the JSON from Google that identifies this application when it asks for consent.

You download the file from the Google Cloud console.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from eventlab.mailroom.errors import BadSetting
from eventlab.mailroom.urls import checked_url
from eventlab.mailroom.variables import GMAIL_CLIENT

REMEDY: Final = (
    "download the JSON of an OAuth client of type 'Desktop app' from the Google Cloud console"
)


@dataclass(frozen=True)
class OAuthClient:
    """An OAuth client of type "Desktop app". ``repr`` hides its secret."""

    id: str
    secret: str = field(repr=False)
    auth_uri: str
    token_uri: str

    @classmethod
    def load(cls, path: str | Path) -> OAuthClient:
        """Read a client file that was downloaded from Google's console.

        Raises ``BadSetting`` if the file is missing, is not JSON, belongs to a different type of
        client, lacks a field, or contains a URL that is not https.
        """
        types = read_json(path, setting=GMAIL_CLIENT, remedy=REMEDY)
        if "installed" not in types:
            problem = (
                "is for a web application, whose redirect addresses are fixed"
                if "web" in types
                else "is not an OAuth client"
            )
            raise BadSetting(GMAIL_CLIENT, f"{path} {problem}: {REMEDY}")
        found = types["installed"]
        names = ("client_id", "client_secret", "auth_uri", "token_uri")
        values = (
            [found.get(name) for name in names] if isinstance(found, dict) else [None] * len(names)
        )
        for name, value in zip(names, values, strict=True):
            if not isinstance(value, str) or not value:
                raise BadSetting(GMAIL_CLIENT, f"{path} has no {name}: {REMEDY}")
        id, secret, auth_uri, token_uri = map(str, values)
        return cls(
            id,
            secret,
            checked_url(auth_uri, setting=GMAIL_CLIENT),
            checked_url(token_uri, setting=GMAIL_CLIENT),
        )


def read_json(path: str | Path, *, setting: str, remedy: str) -> dict[str, Any]:
    """Return the JSON object in a file; in an error, ``remedy`` tells the operator what to do.

    Raises ``BadSetting``, which names the setting that contains the path, if the file cannot be
    read or does not contain a JSON object.
    """
    try:
        value = json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise BadSetting(setting, f"there is no file {path}: {remedy}") from None
    except OSError as error:
        raise BadSetting(setting, f"{path} cannot be read ({error.strerror}): {remedy}") from None
    except ValueError:  # from None: the parser's error quotes the file, which contains secrets
        raise BadSetting(setting, f"{path} is not JSON: {remedy}") from None
    if not isinstance(value, dict):
        raise BadSetting(setting, f"{path} is JSON, but not an object: {remedy}")
    return value
