"""A stand-in for Gmail: Google's paths, its answers and its refusals, on a mailbox in memory."""

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
    """What a test may turn while the stand-in runs.

    ``consent``: ask the person, or allow or deny for him. ``checks_batch``: a batch with a stale token is refused as a
    whole; else each of its parts is.
    """

    consent: AutoConsent = "ask"
    checks_batch: bool = True


class FakeGmail:
    """The stand-in: ``app`` to serve, ``faults`` to order, ``mailbox``, ``tokens`` and ``options`` to turn.

    ``seen`` has the API's requests, those in batches too, as ``GET /gmail/v1/users/me/messages?maxResults=500``.

    Example: ``fake = create_fake_gmail(); serving = Serving(fake.app); fake.deliver(raw)``
    """

    def __init__(
        self, mailbox: FakeMailbox, tokens: FakeGmailTokens, options: FakeGmailOptions
    ) -> None:
        self.mailbox, self.tokens, self.options = mailbox, tokens, options
        self.faults = Faults()
        app = FastAPI(title="Gmail (stand-in)", redirect_slashes=False, openapi_url=None)
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
        self, raw: bytes, *, labels: Iterable[str] = ("INBOX", "UNREAD"), **more: Any
    ) -> str:
        """Let a mail come in, and give its id; ``more`` as in ``FakeMailbox.deliver``.

        Example: ``fake.deliver(b"Subject: hello\\r\\n\\r\\nhello")``
        """
        return self.mailbox.deliver(raw, labels=labels, **more)

    def delete(self, id: str) -> None:
        """Delete a mail for good.

        Example: ``fake.delete(id)``
        """
        self.mailbox.delete(id)

    def expire_tokens(self) -> None:
        """Let all access tokens end now; they can be renewed.

        Example: ``fake.expire_tokens()``
        """
        self.tokens.expire()

    def revoke(self) -> None:
        """Take back all consent: no token can be renewed.

        Example: ``fake.revoke()``
        """
        self.tokens.revoke()

    def client_config(self, url: str) -> dict[str, Any]:
        """Give what stands in the client file, for the stand-in served at this URL.

        Example: ``fake.client_config(serving.url)["installed"]["client_id"]``
        """
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
        """Write a client file.

        Example: ``fake.write_client(folder / "client.json", serving.url)``
        """
        path.write_text(json.dumps(self.client_config(url)), "utf-8")
        return path

    def write_token(self, path: Path, url: str, *, modify: bool = False) -> Path:
        """Write a token file, mode 0600, as if consent had been given.

        Example: ``Gmail(load(fake.write_token(folder / "token.json", serving.url)), endpoint=serving.url)``
        """
        scope = MODIFY if modify else READONLY
        given = self.tokens.grant((scope,))
        info = {
            "token": given["access_token"],
            "refresh_token": given["refresh_token"],
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
    """Make the stand-in, with the sample mails or with others in its inbox; ``mails=()`` for an empty one.

    Access tokens live for ``token_seconds``; every code and token has ``token_word`` in it.

    Example: ``with Serving(create_fake_gmail(consent="allow").app) as serving: ...``
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
