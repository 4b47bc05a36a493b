"""A fake Gmail with Google's paths, responses and errors, and an in-memory mailbox."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request

from eventlab.sandbox.faults import Faults, FaultyApp
from eventlab.sandbox.gmail.batch import add_batch
from eventlab.sandbox.gmail.error import GoogleError, answer_error
from eventlab.sandbox.gmail.mailbox import FakeMailbox
from eventlab.sandbox.gmail.oauth import MODIFY, READONLY, AutoConsent, FakeGmailTokens, add_oauth
from eventlab.sandbox.gmail.routes import GmailRoutes, add_routes
from eventlab.sandbox.samples import Sample, samples

ADDRESS: Final = "agent@example.com"


@dataclass
class FakeGmailOptions:
    """The options that a test may change while the fake Gmail is served.

    ``consent`` is ``ask`` to let the operator decide, or ``allow`` or ``deny``.
    With ``checks_batch``, a batch with an expired token is rejected as a whole; otherwise, each of
    its parts is rejected.
    """

    consent: AutoConsent = "ask"
    checks_batch: bool = True


class FakeGmail:
    """A fake Gmail. Serve its ``app``, inject ``faults``, and change its ``options``.

    ``seen`` lists all API requests so far, including those in batches, such as
    ``GET /gmail/v1/users/me/messages?maxResults=500``.
    """

    def __init__(
        self, mailbox: FakeMailbox, tokens: FakeGmailTokens, options: FakeGmailOptions
    ) -> None:
        self.mailbox = mailbox
        self.tokens = tokens
        self.options = options
        self.faults = Faults()
        app = FastAPI(title="Gmail (fake server)", redirect_slashes=False, openapi_url=None)
        app.add_exception_handler(GoogleError, answer_error)
        add_oauth(app, tokens, lambda: options.consent)
        routes = GmailRoutes(mailbox, tokens)
        self.seen = routes.seen
        add_routes(app, routes)

        def check(request: Request) -> None:
            if options.checks_batch:
                routes.allow(request)

        add_batch(app, self.faults, check)
        self.app = FaultyApp(app, self.faults)

    def deliver(
        self,
        raw: bytes,
        *,
        labels: Iterable[str] = ("INBOX", "UNREAD"),
        id: str | None = None,
        thread_id: str | None = None,
        internal_date_ms: int | None = None,
    ) -> str:
        """Deliver an email and return its id, as ``FakeMailbox.deliver`` does."""
        return self.mailbox.deliver(
            raw,
            labels=labels,
            id=id,
            thread_id=thread_id,
            internal_date_ms=internal_date_ms,
        )

    def delete(self, id: str) -> None:
        """Delete an email permanently."""
        self.mailbox.delete(id)

    def expire_tokens(self) -> None:
        """Expire all access tokens now; refresh tokens can still renew them."""
        self.tokens.expire()

    def revoke(self) -> None:
        """Revoke all consent, so that no token can be renewed."""
        self.tokens.revoke()

    def client_config(self, url: str) -> dict[str, Any]:
        """Return the contents of a client file for this fake Gmail, which runs at ``url``."""
        return {
            "installed": {
                "client_id": self.tokens.client_id,
                "client_secret": self.tokens.client_secret,
                "project_id": "sandbox",
                "auth_uri": f"{url}/o/oauth2/auth",
                "token_uri": f"{url}/token",
                "redirect_uris": ["http://localhost"],
            }
        }

    def write_client(self, path: Path, url: str) -> Path:
        """Write a client file for this fake Gmail and return its path."""
        path.write_text(json.dumps(self.client_config(url)), "utf-8")
        return path

    def write_token(self, path: Path, url: str, *, modify: bool = False) -> Path:
        """Write a token file with mode 0600, as if consent had been given; return its path."""
        scope = MODIFY if modify else READONLY
        granted = self.tokens.grant((scope,))
        info = {
            "token": granted["access_token"],
            "refresh_token": granted["refresh_token"],
            "token_uri": f"{url}/token",
            "client_id": self.tokens.client_id,
            "client_secret": self.tokens.client_secret,
            "scopes": [scope],
            "expiry": "2100-01-01T00:00:00Z",
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(info), "utf-8")
        return path


def create_fake_gmail(
    mails: Iterable[Sample] | None = None,
    *,
    address: str = ADDRESS,
    client_id: str = "sandbox.apps.example.com",
    client_secret: str = "sandbox-secret",
    token_seconds: float = 3600,
    token_word: str = "sandbox",
    consent: AutoConsent = "ask",
) -> FakeGmail:
    """Create a fake Gmail whose mailbox contains ``mails``, by default the sample emails.

    Access tokens expire after ``token_seconds``. Every code and token contains ``token_word``, so
    that a test can search logs for it.
    """
    mailbox = FakeMailbox(address)
    for mail in samples() if mails is None else mails:
        mailbox.deliver(
            mail.raw,
            labels=mail.label_ids,
            id=mail.gmail_id,
            thread_id=mail.thread_id,
            internal_date_ms=mail.internal_date_ms,
        )
    tokens = FakeGmailTokens(client_id, client_secret, seconds=token_seconds, word=token_word)
    return FakeGmail(mailbox, tokens, FakeGmailOptions(consent=consent))
