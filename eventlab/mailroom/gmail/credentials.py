"""Credentials in a token file: each renewed token replaces the previous token in the file."""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import stat
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import google_auth_httplib2
from google.auth.exceptions import GoogleAuthError, RefreshError
from google.oauth2.credentials import Credentials

from eventlab.mailroom.errors import BadSetting, ConsentRequired, GmailFailed
from eventlab.mailroom.gmail.client_file import OAuthClient, read_json
from eventlab.mailroom.gmail.consent import Ask, BrowserMode, Say, Show, ask_for_consent, show
from eventlab.mailroom.gmail.google_http import GoogleHttp
from eventlab.mailroom.urls import checked_url
from eventlab.mailroom.variables import GMAIL_TOKEN

READONLY: Final = "https://www.googleapis.com/auth/gmail.readonly"
MODIFY: Final = "https://www.googleapis.com/auth/gmail.modify"
#: For each scope, the scopes that include it.
SUFFICIENT_SCOPES: Final = {
    READONLY: {READONLY, MODIFY, "https://mail.google.com/"},
    MODIFY: {MODIFY, "https://mail.google.com/"},
}
REFRESH_TIMEOUT_SECONDS: Final = 30.0
CONSENT_AGAIN: Final = "remove the token file and give consent again"

#: The error codes of Google's token endpoint that require new consent, with their meanings. Google
#: uses ``invalid_grant`` for several causes and never says which of them applies.
FINAL_REFRESH_ERRORS: Final = {
    "invalid_grant": (
        "Gmail's token has expired or been revoked, perhaps because consent was withdrawn, the "
        "password was changed, the token was not used for six months, or the app is in 'Testing' "
        f"(publish it, because tokens of such an app expire after seven days): {CONSENT_AGAIN}"
    ),
    "invalid_rapt": (
        "Gmail's token has expired, because the organization requires its users to sign in again: "
        f"{CONSENT_AGAIN}"
    ),
    "invalid_client": (
        "Google does not recognize the client of Gmail's token, or the client's secret was "
        f"changed: download the client file again, {CONSENT_AGAIN}"
    ),
    "deleted_client": (
        "The client of Gmail's token was deleted in the Google Cloud console: "
        f"create a new one, {CONSENT_AGAIN}"
    ),
    "disabled_client": (
        "The client of Gmail's token is disabled in the Google Cloud console: "
        f"enable it there or create a new one, then {CONSENT_AGAIN}"
    ),
    "unauthorized_client": f"Gmail's token belongs to another client: {CONSENT_AGAIN}",
    "invalid_scope": (
        "Gmail's token does not cover the scope that is needed: "
        f"{CONSENT_AGAIN}, and leave every box checked"
    ),
    "access_denied": (
        "The account's administrator no longer allows this app: "
        f"ask them to allow it, then {CONSENT_AGAIN}"
    ),
    "admin_policy_enforced": (
        "The account's administrator does not allow this app: "
        f"ask them to allow it, then {CONSENT_AGAIN}"
    ),
    "org_internal": (
        f"This app is only for members of its own organization: {CONSENT_AGAIN} with an account in "
        "that organization"
    ),
}
NO_REFRESH_TOKEN: Final = (
    "Gmail's token has expired, and the token file has no refresh token to renew it: "
    f"{CONSENT_AGAIN}"
)

#: Raised if there is no response, or if google-auth fails on a response that lacks a field.
UNREADABLE: Final = (
    *(GoogleAuthError, OSError, http.client.HTTPException),
    *(AttributeError, KeyError, TypeError, ValueError),
)

log = logging.getLogger(__name__)


class StoredCredentials(Credentials):
    """Google's credentials, stored in a file: a renewed token is saved there before it is used.

    ``path`` is the token file. If it is None, nothing is saved.
    """

    def __init__(
        self,
        token: str | None,
        *,
        refresh_token: str | None,
        token_uri: str,
        client_id: str | None,
        client_secret: str | None,
        scopes: Sequence[str] | None,
        expiry: datetime | None,
        path: Path | None = None,
    ) -> None:
        Credentials.__init__(
            self,
            token,
            refresh_token=refresh_token,
            token_uri=token_uri,
            client_id=client_id,
            client_secret=client_secret,
            scopes=scopes,
            expiry=expiry,
        )
        self.path = path

    def refresh(self, _request: object) -> None:
        """Get a new access token and save it.

        The argument is ignored, because the batch client passes a request without a timeout; a
        connection with a timeout is used instead. Raises ``ConsentRequired`` if the user must give
        consent again, and ``GmailFailed`` if Google cannot be reached.
        """
        before = self.token, self.refresh_token
        connection = GoogleHttp(timeout=REFRESH_TIMEOUT_SECONDS)
        try:
            Credentials.refresh(self, google_auth_httplib2.Request(connection))
        except UNREADABLE as error:
            # "from None", because the cause may quote the response of a server that posed as Google
            raise refresh_failed(error) from None
        finally:
            connection.close()
        if self.path is not None and before != (self.token, self.refresh_token):
            try:
                save(self, self.path)
            except OSError as error:
                log.warning(
                    "Gmail's token was refreshed, but could not be saved: %s",
                    error.strerror,
                )


def refresh_failed(error: Exception) -> GmailFailed:
    """Return the exception for a failed token renewal: ``ConsentRequired`` or ``GmailFailed``.

    >>> refresh_failed(RefreshError("invalid_grant: Bad Request", {"error": "invalid_grant"}))
    ConsentRequired("Gmail's token has expired or been revoked: ...")
    """
    if isinstance(error, GmailFailed):
        return error
    if not isinstance(error, RefreshError):
        return GmailFailed(
            f"The token request to Google failed ({type(error).__name__}): try again later"
        )
    response = next((arg for arg in error.args if isinstance(arg, dict)), {})
    for code in (response.get("error_subtype"), response.get("error")):
        if isinstance(code, str) and code in FINAL_REFRESH_ERRORS:
            return ConsentRequired(FINAL_REFRESH_ERRORS[code])
    if "Reauthentication" in str(error):
        return ConsentRequired(FINAL_REFRESH_ERRORS["invalid_rapt"])
    if "necessary fields" in str(error):
        return ConsentRequired(NO_REFRESH_TOKEN)
    if error.retryable:
        return GmailFailed("Google is temporarily unable to renew the token: try again later")
    return GmailFailed("Google did not renew the token, for an unknown reason: try again later")


def load(path: str | Path) -> StoredCredentials:
    """Read a token file and return credentials that renew the token in the file when it expires.

    Raises ``BadSetting`` if the file is missing, is not a token file, can be read by other users,
    or contains a ``token_uri`` that is not https.
    """
    info = read_json(path, setting=GMAIL_TOKEN, remedy="call authorize() to give consent first")
    path = Path(path).resolve()  # replace the file behind a link, not the link itself
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise BadSetting(
            GMAIL_TOKEN, f"{path} can be read by others (mode {mode:04o}): run chmod 600 on it"
        )
    try:
        read = Credentials.from_authorized_user_info(info)
    except (ValueError, TypeError, AttributeError):  # from None: the cause contains secrets
        raise BadSetting(GMAIL_TOKEN, f"{path} is not a token file: {CONSENT_AGAIN}") from None
    # from_authorized_user_info replaces the file's token_uri with Google's, so a fake server's
    # token would go to Google.
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
    """Write a token file atomically, with mode 0600."""
    path = Path(path).resolve()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    prefix = f".{path.name}."
    handle, name = tempfile.mkstemp(prefix=prefix, dir=path.parent)  # its mode is 0600
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
    browser: BrowserMode = True,
    port: int = 0,
    open_url: Show = show,
    say: Say = print,
    ask: Ask = input,
) -> StoredCredentials:
    """Return credentials for a mailbox from the token file, or by asking an operator for consent.

    ``modify`` also requests permission to set labels. If ``browser`` is True, a browser opens; if
    it is False, the link for a browser on this machine is printed. With ``"paste-back"``, the
    operator uses a browser on another machine and pastes the final URL here. ``port`` is the
    loopback port that the browser returns to (0: any free port). An expired token is renewed.

    Raises ``BadSetting`` if one of the two files cannot be used, and ``ConsentRequired`` if the
    stored token cannot be renewed. Raises ``GmailFailed`` if consent is denied, is not given in
    time or does not cover the scope, or if Google cannot be reached.
    """
    scope = MODIFY if modify else READONLY
    if Path(token_file).exists():
        stored = load(token_file)
        if stored.scopes is None or SUFFICIENT_SCOPES[scope] & set(stored.scopes):
            if not stored.valid:
                stored.refresh(None)
            return stored
    client = OAuthClient.load(client_file)
    consent = ask_for_consent(
        client,
        scope,
        timeout_seconds=timeout_seconds,
        browser=browser,
        port=port,
        open_url=open_url,
        say=say,
        ask=ask,
    )
    if not SUFFICIENT_SCOPES[scope] & set(consent.scopes):
        raise GmailFailed(
            "The consent covers less than was requested: ask for consent again, and leave every "
            "box checked"
        )
    credentials = StoredCredentials(
        consent.token,
        path=Path(token_file).resolve(),
        refresh_token=consent.refresh_token,
        token_uri=client.token_uri,
        client_id=client.id,
        client_secret=client.secret,
        scopes=[scope],
        # Google's library compares this time with a naive UTC time
        expiry=datetime.fromtimestamp(consent.expires_at, UTC).replace(tzinfo=None),
    )
    save(credentials, token_file)
    return credentials
