"""The Gmail client, which lists the inbox, fetches emails, and labels routed emails."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, Self

from google.auth.credentials import Credentials

from eventlab.mailroom.errors import GmailFailed
from eventlab.mailroom.gmail.api_error import GmailApiError
from eventlab.mailroom.gmail.formats import RAW_FIELDS, TEXT_FIELDS, add_long_texts
from eventlab.mailroom.gmail.transport import MAX_ATTEMPTS, GmailResponse, GmailTransport
from eventlab.mailroom.mail.message import Message
from eventlab.mailroom.variables import GMAIL_ENDPOINT, VARIABLES

INBOX: Final = "INBOX"
MAX_PAGE_SIZE: Final = 500
BATCH_SIZE: Final = 20
#: A batch of 20 emails of this size is 5 MB, as large as the largest email that is downloaded.
MAX_SMALL_BYTES: Final = 256 * 1024
MAX_MODIFIED_IDS: Final = 1000
MAX_DOWNLOAD_BYTES: Final = 5 * 1024 * 1024


@dataclass(frozen=True)
class Page:
    """One page of email ids from the inbox.

    ``cursor`` is None except on the last page. Store the cursor only after you have stored the
    emails of all pages.
    """

    ids: tuple[str, ...]
    cursor: str | None
    relisted: bool = False  # the cursor was too old, so the pages list the whole inbox


class GmailClient:
    """A client for one Gmail mailbox, to be used by one thread at a time.

    ``timeout`` is in seconds, per request. ``page_size`` is at most 500. ``sleep`` is called with
    the seconds to wait between attempts. Use the client in a ``with`` block, which closes its
    connection.

    Every method raises ``ConsentRequired`` if the user must give consent again, and ``GmailFailed``
    if Gmail rejects a request or still fails after about a minute of attempts. The constructor
    raises ``BadSetting`` if the endpoint neither uses https nor is on this machine.

    >>> with GmailClient(load("token.json")) as gmail:
    ...     next(gmail.pages(since=None)).ids
    ('18c2a0b1c2d3e4f5',)
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        endpoint: str = VARIABLES[GMAIL_ENDPOINT].default,
        timeout: float = 30.0,
        page_size: int = MAX_PAGE_SIZE,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._transport = GmailTransport(credentials, endpoint, timeout=timeout, sleep=sleep)
        self._page_size = page_size
        self._address = ""
        self._messages = self._transport.users.messages()

    def pages(self, since: str | None, *, not_before: int | None = None) -> Iterator[Page]:
        """Yield pages of the emails that entered the inbox after ``since``, an earlier cursor.

        If ``since`` is None, or is so old that Gmail no longer accepts it, the whole inbox is
        listed, except for emails that Gmail received before ``not_before``, in seconds since 1970.
        Only the last page has a cursor. An id may occur more than once, in this call or in the next
        one, but no id is left out.
        """
        if since is not None and (yield from self._new_since(since)):
            return
        for page in self._inbox(not_before):
            yield replace(page, relisted=since is not None)

    def address(self) -> str:
        """Return the address of the mailbox.

        >>> gmail.address()
        'agent@example.com'
        """
        if not self._address:
            self._profile()
        return self._address

    def has_more_before(self, seconds: int, count: int) -> bool:
        """Return whether the inbox has more than ``count`` emails that are older than a given time.

        ``seconds`` is this time, in seconds since 1970.
        """
        found = 0
        for body in self._list(f"before:{seconds}"):
            found += len(body.get("messages", ()))
            if found > count:
                return True
        return False

    def get(self, ids: Iterable[str]) -> Iterator[tuple[str, Message | None]]:
        """Yield each id, in the order of ``ids``, with its email, or with None for a deleted email.

        An email that cannot be fetched does not stop the others: ``GmailFailed`` is raised at the
        end. The error is raised immediately if all emails of a batch failed (unless the batch has
        only one), or if two batches in a row failed. At most 20 emails are in memory at a time, and
        an email over 256 KB is fetched alone. For an email over 5 MB, only the headers, the text
        parts as decoded by Gmail, and the names of the attachments are downloaded.
        """
        ids = tuple(dict.fromkeys(ids))
        large, oversized = self._sizes(ids)
        failed: dict[str, GmailApiError] = {}
        batches = deque(_batches(ids, alone=large))
        failed_batches = 0  # in a row
        while batches:
            batch = batches.popleft()
            got, rejected = self._fetch(batch, oversized)
            if any(error.too_large for error in rejected.values()):
                # Gmail's search does not yet find the newest emails, so their sizes are unknown.
                if len(batch) > 1:
                    batches.extendleft((id,) for id in reversed(batch))
                    continue
                if batch[0] not in oversized:
                    oversized.add(batch[0])
                    batches.appendleft(batch)
                    continue
            failed_batches = 0 if got else failed_batches + 1
            if failed_batches and (len(batch) > 1 or len(ids) == 1 or failed_batches > 1):
                raise next(iter(rejected.values())).to_exception()
            yield from ((id, got.pop(id)) for id in batch if id in got)
            failed |= rejected
        if failed:
            first = next(iter(failed.values()))
            raise GmailFailed(
                f"{len(failed)} of {len(ids)} emails could not be fetched: {first.message}",
                first.status or None,
            )

    def label(self, ids: Iterable[str], name: str) -> None:
        """Label emails, creating the label if necessary; requires consent with ``modify=True``."""
        ids = tuple(dict.fromkeys(ids))
        if not ids:
            return
        label = self._label_id(name)
        for chunk in _chunks(ids, MAX_MODIFIED_IDS):
            change = {"ids": list(chunk), "addLabelIds": [label]}
            _body(self._transport.send(self._messages.batchModify(userId="me", body=change)))

    def close(self) -> None:
        """Close the connection."""
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

    # --------------------------------------------------------------------------------------- pages

    def _profile(self) -> dict[str, Any]:
        profile = _body(self._transport.send(self._transport.users.getProfile(userId="me")))
        self._address = str(profile.get("emailAddress") or "")
        return profile

    def _inbox(self, not_before: int | None) -> Iterator[Page]:
        # Read this before the list: an email that arrives while the list is being read is newer
        # than this history id, so the next round finds the email.
        baseline = str(self._profile()["historyId"])
        # A search for the emails after a time would miss the newest emails, because Gmail indexes
        # them late. A search does find old emails, so these are left out of the full list here.
        old = set[str]() if not_before is None else self._found(f"before:{not_before}")
        for body in self._list():
            ids = (message["id"] for message in body.get("messages", ()))
            listed = tuple(id for id in ids if id not in old)
            yield Page(listed, None if "nextPageToken" in body else baseline)

    def _list(self, query: str | None = None) -> Iterator[dict[str, Any]]:
        page_token: str | None = None
        while True:
            request = self._messages.list(
                userId="me",
                labelIds=[INBOX],
                q=query,
                maxResults=self._page_size,
                pageToken=page_token,
                fields="messages/id,nextPageToken",
            )
            body = _body(self._transport.send(request))
            yield body
            page_token = body.get("nextPageToken")
            if page_token is None:
                return

    def _new_since(self, since: str) -> Generator[Page, None, bool]:
        """Yield the pages of the history since a cursor; return False if the cursor is too old."""
        page_token: str | None = None
        while True:
            request = self._transport.users.history().list(
                userId="me",
                startHistoryId=since,
                historyTypes=["messageAdded", "labelAdded"],
                labelId=INBOX,
                maxResults=self._page_size,
                pageToken=page_token,
            )
            response = self._transport.send(request)
            if isinstance(response, GmailApiError) and response.gone:
                return False
            body = _body(response)
            page_token = body.get("nextPageToken")
            yield Page(_arrived(body), None if page_token else str(body["historyId"]))
            if not page_token:
                return True

    # ----------------------------------------------------------------------------------------- get

    def _sizes(self, ids: tuple[str, ...]) -> tuple[set[str], set[str]]:
        """Return the ids of the emails to fetch alone, and of those to download only in part."""
        # One search for all emails costs 5 quota units. Asking for the size of each email would
        # cost 20 units per email, as much as fetching the email.
        large = self._over(MAX_SMALL_BYTES) & set(ids) if ids else set()
        return large, self._over(MAX_DOWNLOAD_BYTES) if large else set()

    def _over(self, size: int) -> set[str]:
        """Return the ids of the emails in the inbox that are larger than ``size`` bytes."""
        return self._found(f"larger:{size}")

    def _found(self, query: str) -> set[str]:
        return {message["id"] for body in self._list(query) for message in body.get("messages", ())}

    def _fetch(
        self, ids: tuple[str, ...], oversized: set[str]
    ) -> tuple[dict[str, Message | None], dict[str, GmailApiError]]:
        """Fetch emails as one batch, and retry those that fail; return the emails and errors."""
        got: dict[str, Message | None] = {}
        rejected: dict[str, GmailApiError] = {}
        pending = ids
        attempts = 0
        while pending:
            responses = self._transport.batch({id: self._get(id, oversized) for id in pending})
            retry: dict[str, GmailApiError] = {}
            for id in pending:
                response = _about(id, responses.get(id))
                if not isinstance(response, GmailApiError):
                    if id in oversized:
                        add_long_texts(self._transport, response)
                    got[id] = Message.from_gmail(response)
                elif response.gone:
                    got[id] = None
                elif response.needs_consent:
                    raise response.to_exception()
                else:
                    (retry if response.transient else rejected)[id] = response
            # If any email was fetched, waiting helps, so the count starts again.
            attempts = attempts + 1 if len(retry) == len(pending) else 1
            pending = tuple(retry)
            if attempts == MAX_ATTEMPTS:
                return got, rejected | retry
            if pending:
                asked_for = max(error.retry_after or 0.0 for error in retry.values())
                self._transport.wait(attempts, asked_for)
        return got, rejected

    def _get(self, id: str, oversized: set[str]) -> Any:
        if id in oversized:
            return self._messages.get(userId="me", id=id, format="full", fields=TEXT_FIELDS)
        return self._messages.get(userId="me", id=id, format="raw", fields=RAW_FIELDS)

    # --------------------------------------------------------------------------------------- label

    def _label_id(self, name: str) -> str:
        found = self._label_ids().get(name.casefold())
        if found is None:
            label = {
                "name": name,
                "labelListVisibility": "labelShow",
                "messageListVisibility": "show",
            }
            request = self._transport.users.labels().create(userId="me", body=label)
            response = self._transport.send(request)
            if isinstance(response, GmailApiError) and response.status == 409:
                found = self._label_ids().get(name.casefold())  # another client was faster
            if found is None:
                found = str(_body(response)["id"])
        return found

    def _label_ids(self) -> dict[str, str]:
        """Return label ids by casefolded name, because Gmail ignores the case of label names."""
        request = self._transport.users.labels().list(userId="me")
        labels = _body(self._transport.send(request)).get("labels", ())
        return {label["name"].casefold(): label["id"] for label in labels}


def _body(response: GmailResponse) -> dict[str, Any]:
    if isinstance(response, GmailApiError):
        raise response.to_exception()
    return response


def _about(id: str, response: GmailResponse | None) -> GmailResponse:
    """Return the response if it is about this email; otherwise, return a transient error."""
    if isinstance(response, GmailApiError):
        return response
    if response is None or response.get("id") != id:
        return GmailApiError(
            0,
            "Gmail returned a different email than the one requested: try again later",
            transient=True,
        )
    return response


def _arrived(history: dict[str, Any]) -> tuple[str, ...]:
    """Return the ids of the emails that entered the inbox, according to a page of the history."""
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


def _batches(ids: tuple[str, ...], *, alone: set[str]) -> Iterator[tuple[str, ...]]:
    """Yield the ids in order, in batches of up to 20 small emails or one large email."""
    batch: list[str] = []
    for id in ids:
        if batch and (id in alone or batch[-1] in alone or len(batch) == BATCH_SIZE):
            yield tuple(batch)
            batch = []
        batch.append(id)
    if batch:
        yield tuple(batch)
