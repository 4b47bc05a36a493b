"""A fake Gmail that is being served, and an operator whose browser gives or denies consent."""

from __future__ import annotations

import html
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin

import requests

from eventlab.mailroom.gmail.client import GmailClient
from eventlab.mailroom.gmail.credentials import load
from eventlab.sandbox.gmail.app import FakeGmail, create_fake_gmail
from eventlab.sandbox.serving import Serving

TIMEOUT = 40.0


@dataclass
class Served:
    """A fake Gmail, its URL, and a folder for its files."""

    fake: FakeGmail
    url: str
    folder: Path
    pauses: list[float] = field(default_factory=list)

    @property
    def client_file(self) -> Path:
        return self.fake.write_client(self.folder / "client.json", self.url)

    @property
    def token_file(self) -> Path:
        return self.folder / "token.json"

    def deliver(self, count: int = 1) -> list[str]:
        """Deliver some plain mails and return their ids."""
        return [self.fake.deliver(plain(f"mail {n}")) for n in range(count)]

    def gmail(self, *, modify: bool = False, **options: Any) -> GmailClient:
        """Return a client of the mailbox that records its waits instead of sleeping."""
        token = self.fake.write_token(self.token_file, self.url, modify=modify)
        return GmailClient(load(token), endpoint=self.url, sleep=self.pauses.append, **options)

    def get(self, path: str, token: str | None = None, **params: Any) -> requests.Response:
        """Send a GET to the API without the client."""
        return self.send("GET", path, token, params=params)

    def send(
        self, method: str, path: str, token: str | None = None, **options: Any
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with plain_session() as session:
            address = f"{self.url}{path}"
            return session.request(method, address, headers=headers, timeout=TIMEOUT, **options)


@contextmanager
def served(folder: Path, **options: Any) -> Iterator[Served]:
    """Serve a fake Gmail with an empty mailbox."""
    fake = create_fake_gmail(options.pop("mails", ()), **options)
    with Serving(fake.app) as serving:
        yield Served(fake, serving.url, folder)


def plain(subject: str, body: str = "hello", sender: str = "joe+tag@example.com") -> bytes:
    return f"From: {sender}\r\nSubject: {subject}\r\n\r\n{body}\r\n".encode()


def plain_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session


@dataclass(frozen=True)
class Page:
    """A response as a browser sees it."""

    status: int
    location: str
    text: str


class Operator:
    """An operator who opens the link in a browser and answers it, in a thread of their own.

    Before the answer, the browser requests the paths in ``strays`` at the address it returns to.
    """

    def __init__(self, answer: str = "allow", *, strays: Sequence[str] = ()) -> None:
        self.answer = answer
        self.strays = strays
        self.links: list[str] = []
        self.pages: list[Page] = []
        self._thread: threading.Thread | None = None

    def open(self, link: str) -> bool:
        """Open a link, like webbrowser.open."""
        self.links.append(link)
        self._thread = threading.Thread(target=self._act, args=(link,))
        self._thread.start()
        return True

    def consent(self, link: str) -> str:
        """Answer the consent page and return the address that the browser is sent to."""
        form = form_of(browse(link).text)
        data = {"request": form["request"], "answer": self.answer, "scope": form["scope"]}
        return browse(urljoin(link, form["action"]), data).location

    def done(self) -> None:
        if self._thread is not None:
            self._thread.join(TIMEOUT)
            assert not self._thread.is_alive()

    def _act(self, link: str) -> None:
        back = self.consent(link)
        self.pages += [browse(urljoin(back, stray)) for stray in self.strays]
        self.pages.append(browse(back))


class Stay(urllib.request.HTTPRedirectHandler):
    """A handler that follows no redirect."""

    def redirect_request(self, *_args: Any) -> None:
        return None


def browse(address: str, form: dict[str, str] | None = None) -> Page:
    """Open an address like a browser, without a log and without following redirects."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay)
    data = None if form is None else urlencode(form).encode()
    try:
        with opener.open(address, data, timeout=TIMEOUT) as answer:
            return Page(answer.status, "", answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Page(error.code, error.headers.get("Location", ""), error.read().decode())


def form_of(page: str) -> dict[str, str]:
    """Return the action and the fields of a consent page's form."""
    fields = re.findall(r'<input type="(?:hidden|checkbox)" name="(\w+)" value="([^"]*)"', page)
    [action] = re.findall(r'<form method="post" action="([^"]*)">', page)
    return {"action": action} | {name: html.unescape(value) for name, value in fields}
