"""The mailbox: which mails there are, what they hold, and a label on those that are done."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from google.auth.credentials import Credentials

from eventlab.mailroom.errors import GmailFailed
from eventlab.mailroom.gmail.api_error import GmailApiError
from eventlab.mailroom.gmail.transport import MAX_ATTEMPTS, GmailResponse, GmailTransport
from eventlab.mailroom.mail.message import Message
from eventlab.mailroom.variables import GMAIL_ENDPOINT, VARIABLES

INBOX: Final = "INBOX"
PAGE: Final = 500
BATCH: Final = 20
MODIFIED_AT_ONCE: Final = 1000
HUGE: Final = 5 * 1024 * 1024
COMMON: Final = "id,threadId,labelIds,historyId,internalDate,sizeEstimate,snippet"
RAW: Final = f"{COMMON},raw"


def _skeleton(depth: int) -> str:
    inner = f",parts({_skeleton(depth - 1)})" if depth else ""
    return f"partId,mimeType,filename,headers,body/size{inner}"


#: A mail's headers and the names, types and sizes of its parts, without a byte of what they hold.
BONES: Final = f"{COMMON},payload({_skeleton(4)})"


@dataclass(frozen=True)
class Page:
    """Some mails of the inbox by their ids; ``cursor`` may be stored once all of them, and of the pages before, are.

    Example: ``for page in gmail.pages(since=None): ...``
    """

    ids: tuple[str, ...]
    cursor: str | None


class GmailClient:
    """A Gmail mailbox, for one thread at a time.

    ``timeout`` is in seconds, for each request; ``page_size`` is 500 at most; ``sleep`` is what waits between tries. A
    ``with`` block hangs up at its end. Every call raises ``TokenDead`` when only a new consent helps, and
    ``GmailFailed`` for what Gmail refuses, or does not do after a minute of tries; ``BadSetting`` comes at once, for an
    endpoint that is not https.

    Example: ``with GmailClient(load("token.json")) as gmail: ids = next(gmail.pages(since=None)).ids``
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        endpoint: str = VARIABLES[GMAIL_ENDPOINT].default,
        timeout: float = 30.0,
        page_size: int = PAGE,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._transport = GmailTransport(credentials, endpoint, timeout=timeout, sleep=sleep)
        self._page_size = page_size
        self._messages = self._transport.users.messages()

    def pages(self, since: str | None) -> Iterator[Page]:
        """Give the mails that came into the inbox after a cursor; all of them if there is none, or it is too old.

        Only the last page has a cursor. Ids may come again, in one run or in the next; none is left out.

        Example: ``for page in gmail.pages(since=cursor): record(page.ids)``
        """
        if since is not None and (yield from self._news(since)):
            return
        yield from self._inbox()

    def get(self, ids: Iterable[str]) -> Iterator[tuple[str, Message | None]]:
        """Fetch mails, and give each with its id, in their order; None is for one that is gone by now.

        One that cannot be fetched stops no other: ``GmailFailed`` comes at the end, or at once if none of 20 could.
        Mails over 5 MB come without text and attachments (their ``problem`` says so).

        Example: ``mails = dict(gmail.get(page.ids))``
        """
        ids = tuple(dict.fromkeys(ids))
        huge = self._huge() if ids else set()
        failed: dict[str, GmailApiError] = {}
        for chunk in _chunks(ids, BATCH):
            got, refused = self._fetch(chunk, huge)
            if not got:
                raise next(iter(refused.values())).error()
            yield from ((id, got[id]) for id in chunk if id in got)
            failed |= refused
        if failed:
            first = next(iter(failed.values()))
            raise GmailFailed(
                f"{len(failed)} of {len(ids)} mails could not be fetched: {first.sentence}",
                first.status or None,
            )

    def label(self, ids: Iterable[str], name: str) -> None:
        """Put a label on mails, making it if there is none of that name; needs consent with ``modify=True``.

        Example: ``gmail.label(["18c2a0b1c2d3e4f5"], "routed")``
        """
        ids = tuple(dict.fromkeys(ids))
        if not ids:
            return
        label = self._label_id(name)
        for chunk in _chunks(ids, MODIFIED_AT_ONCE):
            change = {"ids": list(chunk), "addLabelIds": [label]}
            _granted(self._transport.ask(self._messages.batchModify(userId="me", body=change)))

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------------------- pages

    def _inbox(self) -> Iterator[Page]:
        # Taken before the list: what comes in while it is read is after this point, and is news next time.
        baseline = str(
            _granted(self._transport.ask(self._transport.users.getProfile(userId="me")))[
                "historyId"
            ]
        )
        for answer in self._list():
            ids = tuple(message["id"] for message in answer.get("messages", ()))
            yield Page(ids, None if "nextPageToken" in answer else baseline)

    def _list(self, query: str | None = None) -> Iterator[dict[str, Any]]:
        token: str | None = None
        while True:
            asked: dict[str, Any] = {
                "labelIds": [INBOX],
                "maxResults": self._page_size,
                "fields": "messages/id,nextPageToken",
            }
            request = self._messages.list(userId="me", pageToken=token, q=query, **asked)
            answer = _granted(self._transport.ask(request))
            yield answer
            token = answer.get("nextPageToken")
            if token is None:
                return

    def _news(self, since: str) -> Generator[Page, None, bool]:
        """Give the pages of the history, and whether it reaches back far enough."""
        token: str | None = None
        while True:
            request = self._transport.users.history().list(
                userId="me",
                startHistoryId=since,
                historyTypes=["messageAdded", "labelAdded"],
                labelId=INBOX,
                maxResults=self._page_size,
                pageToken=token,
            )
            answer = self._transport.ask(request)
            if isinstance(answer, GmailApiError) and answer.gone:
                return False
            answer = _granted(answer)
            token = answer.get("nextPageToken")
            yield Page(_came_in(answer), None if token else str(answer["historyId"]))
            if not token:
                return True

    # --------------------------------------------------------------------------------------------------------- get

    def _huge(self) -> set[str]:
        """Find the mails of the inbox that are too large to be downloaded with all that is attached to them."""
        # A search costs 5 units of quota for all of them; to ask each mail its size first would cost 20 for each, as
        # much as to fetch it. Should the search not know a mail yet, it is downloaded: 50 MB is Gmail's limit.
        return {
            message["id"]
            for answer in self._list(f"larger:{HUGE}")
            for message in answer.get("messages", ())
        }

    def _fetch(
        self, ids: tuple[str, ...], huge: set[str]
    ) -> tuple[dict[str, Message | None], dict[str, GmailApiError]]:
        """Fetch some as one batch, and what failed of them again; give what came, and what did not."""
        got: dict[str, Message | None] = {}
        refused: dict[str, GmailApiError] = {}
        pending, tries = ids, 0
        while pending:
            answers = self._transport.batch({id: self._request(id, huge) for id in pending})
            again: dict[str, GmailApiError] = {}
            for id in pending:
                answer = _of(id, answers.get(id))
                if not isinstance(answer, GmailApiError):
                    got[id] = Message.from_gmail(answer)
                elif answer.gone:
                    got[id] = None
                elif answer.dead:
                    raise answer.error()
                else:
                    (again if answer.transient else refused)[id] = answer
            tries = (
                tries + 1 if len(again) == len(pending) else 1
            )  # what came through shows that waiting helps
            pending = tuple(again)
            if tries == MAX_ATTEMPTS:
                return got, refused | again
            if pending:
                self._transport.wait(
                    tries, max((refusal.wait or 0.0 for refusal in again.values()), default=None)
                )
        return got, refused

    def _request(self, id: str, huge: set[str]) -> Any:
        if id in huge:
            return self._messages.get(userId="me", id=id, format="full", fields=BONES)
        return self._messages.get(userId="me", id=id, format="raw", fields=RAW)

    # ------------------------------------------------------------------------------------------------------- label

    def _label_id(self, name: str) -> str:
        found = self._labels().get(name.casefold())
        if found is None:
            body = {
                "name": name,
                "labelListVisibility": "labelShow",
                "messageListVisibility": "show",
            }
            answer = self._transport.ask(
                self._transport.users.labels().create(userId="me", body=body)
            )
            if isinstance(answer, GmailApiError) and answer.status == 409:  # another one was faster
                found = self._labels().get(name.casefold())
            if found is None:
                found = str(_granted(answer)["id"])
        return found

    def _labels(self) -> dict[str, str]:
        """Give the labels' ids by their names, which Gmail takes for the same in capitals and in small letters."""
        answer = _granted(self._transport.ask(self._transport.users.labels().list(userId="me")))
        return {label["name"].casefold(): label["id"] for label in answer.get("labels", ())}


def _granted(answer: GmailResponse) -> dict[str, Any]:
    if isinstance(answer, GmailApiError):
        raise answer.error()
    return answer


def _of(id: str, answer: GmailResponse | None) -> GmailResponse:
    """Give the answer if it is about this mail; if it is not, it is no answer."""
    if isinstance(answer, GmailApiError):
        return answer
    if answer is None or answer.get("id") != id:
        return GmailApiError(
            0,
            "Gmail answered with another mail than was asked for: try again later",
            transient=True,
        )
    return answer


def _came_in(history: dict[str, Any]) -> tuple[str, ...]:
    """Collect the mails that a page of the history brought into the inbox: new ones, and those moved into it."""
    ids: dict[str, None] = {}
    for record in history.get("history", ()):
        for added in record.get("messagesAdded", ()):
            ids[added["message"]["id"]] = None
        for labelled in record.get("labelsAdded", ()):
            if INBOX in labelled.get("labelIds", ()):
                ids[labelled["message"]["id"]] = None
    return tuple(ids)


def _chunks(ids: tuple[str, ...], size: int) -> Iterator[tuple[str, ...]]:
    return (ids[at : at + size] for at in range(0, len(ids), size))
