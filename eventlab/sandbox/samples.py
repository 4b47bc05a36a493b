"""Sample emails written for this project, one for each difficulty in reading email."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final

INBOX: Final = ("INBOX", "UNREAD")
#: The labels of the samples that are not in the inbox. No agent has to work on these samples.
LABELS: Final[Mapping[str, tuple[str, ...]]] = {
    "46-draft": ("DRAFT",),
    "47-sent": ("SENT",),
    "48-spam": ("SPAM", "UNREAD"),
    "49-trash": ("TRASH",),
}
#: The samples that belong to another sample's thread, with the number of that sample.
REPLIES: Final[Mapping[str, int]] = {"42-reply": 1, "46-draft": 1, "47-sent": 1}
FIRST_SAMPLE_ID: Final = 0x19A4000000000000
ID_STEP: Final = 0x1_0000_0001
FIRST_DATE_MS: Final = 1_762_156_800_000  # 2025-11-03T08:00:00Z
DATE_STEP_MS: Final = 7 * 60 * 1000


@dataclass(frozen=True)
class Sample:
    """An email of the sample mailbox, with its bytes and Gmail's data about the email."""

    name: str
    raw: bytes = field(repr=False)
    label_ids: tuple[str, ...]
    internal_date_ms: int
    thread_id: str
    gmail_id: str


@functools.cache
def _all() -> tuple[Sample, ...]:
    folder = files("eventlab.sandbox") / "sample_mails"
    stored = {
        item.name.removesuffix(".eml"): item.read_bytes()
        for item in folder.iterdir()
        if item.name.endswith(".eml")
    }
    generated = {name: generate() for name, generate in GENERATED.items()}
    return tuple(_sample(name, raw) for name, raw in sorted((stored | generated).items()))


def samples() -> list[Sample]:
    """Return all sample emails, oldest first; their ids, threads and dates never change.

    >>> samples()[0].name, samples()[0].gmail_id
    ('01-plain', '19a4000100000001')
    """
    return list(_all())


def _sample(name: str, raw: bytes) -> Sample:
    number = int(name.partition("-")[0])
    labels = LABELS.get(name, INBOX)
    return Sample(
        name,
        raw,
        labels,
        FIRST_DATE_MS + (number - 1) * DATE_STEP_MS,
        _id(REPLIES.get(name, number)),
        _id(number),
    )


def _id(number: int) -> str:
    return f"{FIRST_SAMPLE_ID + number * ID_STEP:016x}"


# ----------------------------------------- samples that are generated, because they are very large


def _mail(sender: str, subject: str, rest: str) -> bytes:
    head = f"From: {sender}\nTo: Agent <agent@example.com>\nSubject: {subject}\nMIME-Version: 1.0\n"
    return f"{head}{rest}".replace("\n", "\r\n").encode()


def _long_text() -> bytes:
    lines = "".join(f"{n:05} äöü 漢字 this line is one of very many\n" for n in range(6000))
    return _mail(
        "Writer <writer@example.com>",
        "a long letter",
        f"Content-Type: text/plain; charset=utf-8\n\n{lines}",
    )


def _deep_mails() -> bytes:
    """Return emails that are nested deeper than Python's stack allows."""
    return _mail(
        "Matryoshka <doll@example.org>",
        "deep",
        "Content-Type: message/rfc822\n\n" * 3000 + "the core\n",
    )


def _many_parts() -> bytes:
    parts = "".join(f"--p\nContent-Type: text/plain\n\npart {n}\n" for n in range(3000))
    return _mail(
        "Splitter <split@example.net>",
        "many parts",
        f"Content-Type: multipart/mixed; boundary=p\n\n{parts}--p--\n",
    )


def _deep_html() -> bytes:
    nest = "<table><tr><td><div>" * 2000
    return _mail(
        "Nest <nest@example.com>",
        "deep HTML",
        f"Content-Type: text/html\n\n{nest}words at the bottom of a nest\n",
    )


def _long_html() -> bytes:
    rows = "".join(
        f"<tr><td>row {n}</td><td style='color:#123'>{n * 7} pieces</td></tr>\n"
        for n in range(4000)
    )
    table = f"<table>{rows}</table>"
    return _mail(
        "List <list@example.org>", "long HTML", f"Content-Type: text/html; charset=utf-8\n\n{table}"
    )


def _many_recipients() -> bytes:
    to = ",\n ".join(f"person{n}@example.net" for n in range(5000))
    return _mail(
        "Organiser <organiser@example.net>", "all of you", f"Cc: {to}\n\nYou are all invited.\n"
    )


def _large_attachment() -> bytes:
    """Return an email that is larger than the download limit of 5 MB."""
    text = "--p\nContent-Type: text/plain\n\nThe film is attached.\n"
    film = "--p\nContent-Type: video/mp4; name=film.mp4\nContent-Transfer-Encoding: base64\n\n"
    lines = f"{'AAAA' * 19}\n" * 72_000
    rest = f"Content-Type: multipart/mixed; boundary=p\n\n{text}{film}{lines}--p--\n"
    return _mail("Filmer <filmer@example.com>", "a large attachment", rest)


def _many_lines() -> bytes:
    """Return an email from a runaway program with too many lines for any reader or parser."""
    return _mail(
        "Wild Program <wild@example.org>",
        "lines and lines",
        "\nIt goes on like this:\n" + "\n" * 160_000,
    )


def _long_thread() -> bytes:
    """Return a reply that is below more quoted text than a work item can hold."""
    quoted = "".join(
        f"> {n:04} what we have written to each other about lamp 7\n" for n in range(1500)
    )
    return _mail(
        "Tess Thread <tess@example.org>",
        "Re: Re: Re: Lamp 7",
        "In-Reply-To: <answer-1@example.com>\nContent-Type: text/plain; charset=utf-8\n\n"
        f"On Sun, 2 Nov 2025 at 10:00, Agent <agent@example.com> wrote:\n{quoted}\n"
        "Please cancel the order NOW.\n\nTess\n",
    )


GENERATED: Final[Mapping[str, Callable[[], bytes]]] = {
    "50-long-text": _long_text,
    "51-deep-mails": _deep_mails,
    "52-many-parts": _many_parts,
    "53-deep-html": _deep_html,
    "54-long-html": _long_html,
    "55-many-recipients": _many_recipients,
    "56-large-attachment": _large_attachment,
    "57-many-lines": _many_lines,
    "72-long-thread": _long_thread,
}
