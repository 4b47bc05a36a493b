"""Run both fake servers, a Gmail and a CXone, and provide the settings to reach them."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from eventlab.mailroom.mail.message import Message
from eventlab.mailroom.settings import Settings
from eventlab.mailroom.variables import (
    CXONE_AUTH,
    CXONE_CLIENT,
    CXONE_CLIENT_SECRET,
    CXONE_KEY,
    CXONE_POC,
    CXONE_SECRET,
    CXONE_URL,
    GMAIL_CLIENT,
    GMAIL_ENDPOINT,
    GMAIL_TOKEN,
)
from eventlab.sandbox.cxone import app as cxone
from eventlab.sandbox.gmail import app as gmail
from eventlab.sandbox.gmail.error import GoogleError
from eventlab.sandbox.samples import Sample
from eventlab.sandbox.serving import Serving


class Fakes:
    """A fake Gmail and a fake CXone, served until ``close`` is called; consent has been given.

    The mailbox contains ``mails``, by default the sample emails. ``gmail`` and ``cxone`` are the
    fake servers, and ``gmail_url`` and ``cxone_url`` are their URLs. Port 0 means any free port.

    >>> with Fakes() as fakes:
    ...     fakes.settings().gmail_endpoint
    'http://127.0.0.1:38211'
    """

    def __init__(
        self, *, mails: Iterable[Sample] | None = None, gmail_port: int = 0, cxone_port: int = 0
    ) -> None:
        self.gmail = gmail.create_fake_gmail(mails, consent="allow")
        self.cxone = cxone.create_fake_cxone(html_of=self._html_of)
        self._closing = ExitStack()
        with ExitStack() as undo:
            self.gmail_url = undo.enter_context(Serving(self.gmail.app, port=gmail_port)).url
            self.cxone_url = undo.enter_context(Serving(self.cxone.app, port=cxone_port)).url
            folder = Path(
                undo.enter_context(tempfile.TemporaryDirectory(prefix="eventlab-sandbox-"))
            )
            self._client = self.gmail.write_client(folder / "client.json", self.gmail_url)
            self._token = self.gmail.write_token(folder / "token.json", self.gmail_url, modify=True)
            self._closing = undo.pop_all()

    def settings(self) -> Settings:
        """Return the mailroom's settings for the fake servers."""
        return Settings(
            gmail_endpoint=self.gmail_url,
            gmail_client=self._client,
            gmail_token=self._token,
            cxone=self.cxone.settings(self.cxone_url),
        )

    def environment(self) -> dict[str, str]:
        """Return the settings as environment variables for another process."""
        cxone_settings = self.cxone.settings(self.cxone_url)
        return {
            GMAIL_ENDPOINT: self.gmail_url,
            GMAIL_CLIENT: str(self._client),
            GMAIL_TOKEN: str(self._token),
            CXONE_AUTH: cxone_settings.auth,
            CXONE_URL: cxone_settings.url,
            CXONE_KEY: cxone_settings.key,
            CXONE_SECRET: cxone_settings.secret,
            CXONE_CLIENT: cxone_settings.client,
            CXONE_CLIENT_SECRET: cxone_settings.client_secret,
            CXONE_POC: cxone_settings.point_of_contact,
        }

    def close(self) -> None:
        """Stop both servers and delete their files."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _html_of(self, work_item_id: str) -> str | None:
        """Return the unchanged HTML of a work item's email; the screen pop cleans the HTML."""
        try:
            mail = self.gmail.mailbox.get(work_item_id.removeprefix("gmail:"))
        except GoogleError:
            return None
        raw = base64.urlsafe_b64encode(mail.raw).decode()
        return Message.from_gmail({"id": mail.id, "raw": raw}).html or None
