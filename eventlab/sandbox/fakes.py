"""Both stand-ins at once: a Gmail and a CXone on loopback, and the settings that lead there."""

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
    """A Gmail with the sample mails (or others) and a CXone, served until the block ends; consent is given already.

    ``gmail`` and ``cxone`` are the stand-ins, ``gmail_url`` and ``cxone_url`` their addresses. Ports are chosen freely
    unless given.

    >>> with Fakes() as both:
    ...     router_settings = both.settings()
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
        """The settings that lead to the stand-ins.

        Example: ``both.settings().gmail_endpoint``
        """
        return Settings(
            gmail_endpoint=self.gmail_url,
            gmail_client=self._client,
            gmail_token=self._token,
            cxone=self.cxone.settings(self.cxone_url),
        )

    def environment(self) -> dict[str, str]:
        """The same as environment variables, for another process.

        Example: ``both.environment()["EVENTLAB_GMAIL_ENDPOINT"]``
        """
        mine = self.cxone.settings(self.cxone_url)
        return {
            GMAIL_ENDPOINT: self.gmail_url,
            GMAIL_CLIENT: str(self._client),
            GMAIL_TOKEN: str(self._token),
            CXONE_AUTH: mine.auth,
            CXONE_URL: mine.url,
            CXONE_KEY: mine.key,
            CXONE_SECRET: mine.secret,
            CXONE_CLIENT: mine.client,
            CXONE_CLIENT_SECRET: mine.client_secret,
            CXONE_POC: mine.point_of_contact,
        }

    def close(self) -> None:
        """Stop serving, and remove the files.

        Example: ``both.close()``
        """
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
        """The HTML of the mail behind a work item, as it came: the screen pop makes it harmless."""
        try:
            mail = self.gmail.mailbox.get(work_item_id.removeprefix("gmail:"))
        except GoogleError:
            return None
        raw = base64.urlsafe_b64encode(mail.raw).decode()
        return Message.from_gmail({"id": mail.id, "raw": raw}).html or None
