"""The token file: what a person's consent left behind, renewed as it is used, and what to do when it is dead."""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import stat
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import google_auth_httplib2
import httplib2
from google.auth.exceptions import GoogleAuthError, RefreshError
from google.oauth2.credentials import Credentials

from eventlab.mailroom.errors import BadSetting, GmailFailed, TokenDead
from eventlab.mailroom.gmail.client_file import OAuthClient, read_json
from eventlab.mailroom.gmail.consent import Ask, Asking, Say, Show, ask_for_consent, show
from eventlab.mailroom.urls import checked_url, is_loopback
from eventlab.mailroom.variables import GMAIL_TOKEN

READONLY: Final = "https://www.googleapis.com/auth/gmail.readonly"
MODIFY: Final = "https://www.googleapis.com/auth/gmail.modify"
ENOUGH: Final = {
    READONLY: {READONLY, MODIFY, "https://mail.google.com/"},
    MODIFY: {MODIFY, "https://mail.google.com/"},
}
REFRESH_SECONDS: Final = 30.0
AGAIN: Final = "remove the token file and give consent again"

#: What Google's token endpoint says, and what it means. Of ``invalid_grant`` it never says which way the token died.
DEATHS: Final = {
    "invalid_grant": "Gmail's token has died: it was revoked, or the account's password was changed, or it was not "
    "used for six months, or its app is still in 'Testing', where a token lives for seven days (publish the app to end "
    f"that): {AGAIN}",
    "invalid_rapt": f"Gmail's token has died: the organisation wants its users to sign in again: {AGAIN}",
    "invalid_client": "Google does not know the client that Gmail's token was made for, or its secret was changed: "
    f"download the client file again, {AGAIN}",
    "deleted_client": "the client that Gmail's token was made for was deleted in the Google Cloud console: "
    f"make a new one, {AGAIN}",
    "disabled_client": "the client that Gmail's token was made for is disabled in the Google Cloud console: "
    f"enable it there, or make a new one; then {AGAIN}",
    "unauthorized_client": f"Gmail's token belongs to another client: {AGAIN}",
    "invalid_scope": f"Gmail's token does not cover what is asked of it: {AGAIN}, and leave every box ticked",
    "access_denied": f"the account's administrator no longer allows this app: have it allowed, then {AGAIN}",
    "admin_policy_enforced": f"the account's administrator does not allow this app: have it allowed, then {AGAIN}",
    "org_internal": f"this app is for the members of its own organisation: {AGAIN}, with an account of theirs",
}
NO_REFRESH: Final = f"Gmail's token has ended, and there is nothing with it to renew it: {AGAIN}"

#: No answer, or one that google-auth stumbles over: it takes for granted that JSON is an object, with all its fields.
UNANSWERED: Final = (
    *(GoogleAuthError, OSError, httplib2.HttpLib2Error, http.client.HTTPException),
    *(AttributeError, KeyError, TypeError, ValueError),
)

log = logging.getLogger(__name__)


class StoredCredentials(Credentials):
    """Google's credentials, kept in a file: whoever renews them, the file has the new token before it is used.

    ``refresh`` raises ``TokenDead``, or ``GmailFailed`` if Google cannot be asked. It goes its own way to the token
    endpoint, whatever request is given: the batch client would take one without a timeout, through a proxy.

    Example: ``credentials = load("token.json")``
    """

    def __init__(self, token: str | None, *, path: Path | None = None, **options: Any) -> None:
        Credentials.__init__(self, token, **options)
        self.path = path

    def refresh(self, _request: object) -> None:
        """Get a new access token, and save it.

        Example: ``credentials.refresh(None)``
        """
        before = self.token, self.refresh_token
        line = httplib2.Http(timeout=REFRESH_SECONDS, **direct(self.token_uri or ""))
        line.follow_redirects = False
        try:
            Credentials.refresh(self, google_auth_httplib2.Request(line))
        except UNANSWERED as error:
            # from None: the cause may quote the answer of whoever answered instead of Google
            raise refresh_failed(error) from None
        finally:
            line.close()
        if self.path is not None and before != (self.token, self.refresh_token):
            try:
                save(self, self.path)
            except OSError as error:
                log.warning(
                    "Gmail's renewed token is used, but could not be saved: %s", error.strerror
                )


def direct(url: str) -> dict[str, Any]:
    """Give httplib2's option for a host: no proxy stands between a machine and itself, others keep the environment's.

    Example: ``httplib2.Http(**direct("http://127.0.0.1:8025"))``
    """
    # httplib2 without PySocks fails on http_proxy even where no_proxy excludes the host
    return {"proxy_info": None} if is_loopback(url) else {}


def refresh_failed(error: Exception) -> GmailFailed:
    """Say what it means that a token could not be renewed, and what to do: ``TokenDead``, or ``GmailFailed``.

    >>> refresh_failed(RefreshError("invalid_grant: Bad Request", {"error": "invalid_grant"}))
    TokenDead("Gmail's token has died: ...")
    """
    if isinstance(error, GmailFailed):
        return error
    if not isinstance(error, RefreshError):
        return GmailFailed(
            f"Google could not be asked for a new token ({type(error).__name__}): try again later"
        )
    answer = next((one for one in error.args if isinstance(one, dict)), {})
    code, kind = answer.get("error"), answer.get("error_subtype")
    for word in (kind, code):
        if isinstance(word, str) and word in DEATHS:
            return TokenDead(DEATHS[word])
    if "Reauthentication" in str(error):
        return TokenDead(DEATHS["invalid_rapt"])
    if "necessary fields" in str(error):
        return TokenDead(NO_REFRESH)
    if error.retryable:
        return GmailFailed("Google gives no new token at the moment: try again later")
    return GmailFailed(
        "Google gave no new token, for a reason that is not known here: try again later"
    )


def load(path: str | Path) -> StoredCredentials:
    """Read a token file; the token is renewed in it whenever it has to be.

    Raises ``BadSetting``: no such file, not JSON, no token, open to others, or a ``token_uri`` that is not https.

    Example: ``Gmail(load("token.json"))``
    """
    info = read_json(path, setting=GMAIL_TOKEN, how="give consent first (authorize)")
    path = Path(path).resolve()  # a link stays a link when the file behind it is replaced
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise BadSetting(
            GMAIL_TOKEN, f"{path} can be read by others (mode {mode:04o}): chmod 600 it"
        )
    try:
        read = Credentials.from_authorized_user_info(info)
    except (ValueError, TypeError, AttributeError):  # from None: it holds secrets
        raise BadSetting(GMAIL_TOKEN, f"{path} is no token file: {AGAIN}") from None
    # from_authorized_user_info puts Google's token_uri over the file's: a stand-in's token would go to Google
    token_uri = info.get("token_uri", read.token_uri)
    return StoredCredentials(
        read.token,
        path=path,
        refresh_token=read.refresh_token,
        token_uri=checked_url(str(token_uri), setting=GMAIL_TOKEN),
        client_id=read.client_id,
        client_secret=read.client_secret,
        scopes=read.scopes,
        expiry=read.expiry,
    )


def save(credentials: Credentials, path: str | Path) -> None:
    """Write a token file, mode 0600, whole or not at all.

    Example: ``save(credentials, "token.json")``
    """
    path = Path(path).resolve()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{path.name}.", dir=path.parent
    )  # mkstemp's mode is 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(credentials.to_json())
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise


def authorize(
    client_file: str | Path,
    token_file: str | Path,
    *,
    modify: bool = False,
    timeout_seconds: float = 180,
    browser: Asking = True,
    port: int = 0,
    open_url: Show = show,
    say: Say = print,
    ask: Ask = input,
) -> StoredCredentials:
    """Give credentials for a mailbox: those of the token file or, if there is none, what a person consents to now.

    ``modify`` asks for the right to set labels too. ``browser``: True opens one, False prints the link for a browser
    on this machine, ``"paste-back"`` is for a browser elsewhere: the person brings back the address that it ends at.
    ``port`` is the loopback port that the browser comes back to (0: any free one). A token that has ended is renewed.

    Raises ``BadSetting`` (the files), ``TokenDead`` (the file's token is of no use: remove it), ``GmailFailed``
    (consent was denied, came too late, was for less than asked, or could not be asked for; or Google is away).

    Example: ``authorize("client_secret.json", "token.json", browser="paste-back")``
    """
    scope = MODIFY if modify else READONLY
    if Path(token_file).exists():
        stored = load(token_file)
        if stored.scopes is None or ENOUGH[scope] & set(stored.scopes):
            if not stored.valid:
                stored.refresh(None)
            return stored
    client = OAuthClient.load(client_file)
    answer = ask_for_consent(
        client,
        scope,
        timeout_seconds=timeout_seconds,
        browser=browser,
        port=port,
        open_url=open_url,
        say=say,
        ask=ask,
    )
    if not ENOUGH[scope] & set(answer.scopes):
        raise GmailFailed(
            "consent was given for less than was asked: ask again, and leave every box ticked"
        )
    # Google says how long; naive UTC is what its library compares with
    credentials = StoredCredentials(
        answer.token,
        path=Path(token_file).resolve(),
        refresh_token=answer.refresh_token,
        token_uri=client.token_uri,
        client_id=client.id,
        client_secret=client.secret,
        scopes=[scope],
        expiry=datetime.fromtimestamp(answer.ends, UTC).replace(tzinfo=None),
    )
    save(credentials, token_file)
    return credentials
