"""Finds and shortens the quoted history of an email, so that the newest words are kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

#: How many lines of each quote to keep, tried in this order. Only a quote whose lines are marked
#: with ">" can be left out whole.
KEPT_LINES: Final = (1000, 300, 100, 30, 10, 4, 0)
#: The text below a header that a mail program wrote may be a reply, so some of it is always kept.
MIN_UNMARKED: Final = 10
MAX_HEADER_LINES: Final = 7
MAX_LINE: Final = 300

MARKED: Final = re.compile(r" {0,3}>")
#: The line above a quoted email, with a date or an address, in many languages.
WROTE: Final = re.compile(
    r"(?=.*[\d@]).{4,}\b(?:wrote|writes|schrieb|a écrit|escribió|escreveu|ha scritto|schreef|skrev"
    r"|kirjoitti|napisał\(?a?\)?|написала?|írta|yazdı|写道|のメール)(?:\s[^:\uff1a]{0,150})?\s?[:\uff1a]\s*$",
    re.IGNORECASE,
)
#: The header that Outlook copies above a quoted email: From, and a Subject soon after it.
FROM: Final = re.compile(
    r"[*\s]{0,3}(?:From|Von|De|Da|Van|Från|Fra|Lähettäjä|Od|От|Feladó|Kimden"
    r"|发件人|寄件者|差出人|보낸 사람)\s?\*?[:\uff1a]",
    re.IGNORECASE,
)
SUBJECT: Final = re.compile(
    r"[*\s]{0,3}(?:Subject|Betreff|Objet|Asunto|Assunto|Oggetto|Onderwerp|Ämne|Emne|Aihe|Temat|Тема"
    r"|Předmět|Tárgy|Konu|主题|主旨|件名|제목)\s?\*?[:\uff1a]",
    re.IGNORECASE,
)
HEADER: Final = re.compile(r"[*\s]{0,3}[^\W\d_][^:\uff1a]{0,20}[:\uff1a]")
FORWARDED: Final = re.compile(
    r"[\s>*-]*(?:(?:begin )?forwarded message|weitergeleitete nachricht|message transféré)",
    re.IGNORECASE,
)
FORWARDED_SUBJECT: Final = re.compile(
    r"\s*(?:fwd?|wg|tr|rv|enc|i|vs|vb|doorst|转发|轉寄)\s?[:\uff1a]", re.IGNORECASE
)

#: The first line, the line after the last line, and whether the lines are marked with ">".
Run = tuple[int, int, bool]
#: The first line left out, the line after the last such line, and the bytes that this saves.
Cut = tuple[int, int, int]


def shorten_quotes(text: str, room: int, *, subject: str = "") -> str:
    """Return a text with its quotes shortened until it fits in ``room`` bytes, if possible.

    A shortened quote keeps its first and last lines if there is room for them, and a line says how
    many lines are missing. A forwarded email is not history: only its lines that are marked with
    ">" count as quotes.

    >>> print(shorten_quotes("> old words\\n" * 9 + "No!", 8))
    [… 9 lines of quoted text left out: open the email in Gmail]
    No!
    """
    lines = text.split("\n")
    sizes = [0, *accumulate(len(line.encode()) + 1 for line in lines)]
    runs = _runs(lines, forwarded=bool(FORWARDED_SUBJECT.match(subject)))
    if not runs:
        return text
    cuts: list[Cut] = []
    for keep in KEPT_LINES:
        cuts = [cut for run in runs if (cut := _cut_of(run, keep, sizes))]
        if sizes[-1] - 1 - sum(saved for _start, _end, saved in cuts) <= room:
            break
    return "\n".join(_without(lines, cuts))


def _note(count: int) -> str:
    noun = "line" if count == 1 else "lines"
    return f"[… {count:,} {noun} of quoted text left out: open the email in Gmail]"


def _cut_of(run: Run, keep: int, sizes: Sequence[int]) -> Cut | None:
    start, end, marked = run
    keep = keep if marked else max(keep, MIN_UNMARKED)
    start += keep // 2
    end -= keep - keep // 2
    if start >= end:
        return None
    saved = sizes[end] - sizes[start] - len(_note(end - start).encode()) - 1
    return (start, end, saved) if saved > 0 else None


def _without(lines: Sequence[str], cuts: Iterable[Cut]) -> list[str]:
    kept: list[str] = []
    at = 0
    for start, end, _saved in cuts:
        kept += [*lines[at:start], _note(end - start)]
        at = end
    return [*kept, *lines[at:]]


def _runs(lines: Sequence[str], *, forwarded: bool) -> list[Run]:
    """Return the runs of marked quotes, and the unmarked quote at the end of the text."""
    history = len(lines) if forwarded else _history(lines)
    runs: list[Run] = []
    inside = False
    for number, line in enumerate(lines[:history]):
        if MARKED.match(line):
            start = runs.pop()[0] if inside else number
            runs.append((start, number + 1, True))
            inside = True
        elif line.strip():
            inside = False
    if history < len(lines):
        runs.append((history, len(lines), False))
    return runs


def _history(lines: Sequence[str]) -> int:
    """Return the index after the first header line of an unmarked quote, or ``len(lines)``."""
    has_words = False
    for number, line in enumerate(lines):
        if MARKED.match(line) or not line.strip():
            continue
        if FORWARDED.match(line):
            return len(lines)
        if has_words and _begins_history(lines, number):
            return number + 1
        has_words = True
    return len(lines)


def _begins_history(lines: Sequence[str], number: int) -> bool:
    line = lines[number][:MAX_LINE]
    if FROM.match(line):
        block = [one[:MAX_LINE] for one in lines[number : number + MAX_HEADER_LINES]]
        return any(SUBJECT.match(one) for one in block) and (
            sum(bool(HEADER.match(one)) for one in block) >= 3
        )
    if WROTE.match(line):
        below = (one for one in lines[number + 1 : number + 4] if one.strip())
        return not MARKED.match(next(below, ">"))
    return False
