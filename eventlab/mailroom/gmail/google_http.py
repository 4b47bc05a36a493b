"""The HTTP object that Google's libraries call: httplib2's interface on top of ``HttpSession``.

httplib2 itself ignores ``HTTPS_PROXY`` if PySocks is not installed, and waits indefinitely for a
response that arrives byte by byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import httplib2
import requests
from urllib3.exceptions import HTTPError as Urllib3Error

from eventlab.mailroom.http_session import HttpSession, NoAuth

#: A batch of small emails, or one large email, is below 8 MB.
MAX_RESPONSE_BYTES: Final = 16 * 1024 * 1024
#: A large email may take longer than ``timeout`` to arrive.
MAX_RESPONSE_TIMEOUTS: Final = 10
CHUNK_BYTES: Final = 64 * 1024
#: These headers describe the body as it was sent, not as it is returned.
HEADERS_ON_THE_WAY: Final = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class ResponseTooLarge(OSError):
    """A response exceeds the limit of 16 MB, so the rest of it is not read."""


class GoogleHttp:
    """The part of ``httplib2.Http`` that Google's libraries use.

    ``timeout`` is the number of seconds allowed for each connect and each read. A whole response
    must arrive within ten times ``timeout``.
    """

    def __init__(self, *, timeout: float) -> None:
        self._session = HttpSession(
            timeout=(timeout, timeout), max_seconds=MAX_RESPONSE_TIMEOUTS * timeout
        )

    def request(
        self,
        uri: str,
        method: str = "GET",
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        redirections: int = 0,  # noqa: ARG002 - httplib2's; none is followed
        connection_type: object = None,  # noqa: ARG002 - httplib2's
    ) -> tuple[httplib2.Response, bytes]:
        """Send a request and return its response and body, whatever the status.

        Raises an ``OSError`` if there is no complete response: ``ResponseTooLarge``, or an error of
        the ``requests`` library.
        """
        request = requests.Request(method, uri, headers=headers, data=body, auth=NoAuth())
        try:
            with self._session.send(request) as response:
                found = {
                    name.lower(): value
                    for name, value in response.headers.items()
                    if name.lower() not in HEADERS_ON_THE_WAY
                }
                found["status"] = str(response.status_code)
                return httplib2.Response(found), _body(response)
        except Urllib3Error as error:  # not an OSError, and not always wrapped by requests
            raise requests.ConnectionError(type(error).__name__) from None

    def close(self) -> None:
        """Close the connections; the object can be used again afterwards."""
        self._session.close()


def _body(response: requests.Response) -> bytes:
    content = bytearray()
    for chunk in response.iter_content(CHUNK_BYTES):
        content += chunk
        if len(content) > MAX_RESPONSE_BYTES:
            raise ResponseTooLarge("the response is too large")
    return bytes(content)
