"""Quoted history: it is shortened first, and no answer above, below or within it is lost."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlab.mailroom.mail.quoted import MIN_UNMARKED, shorten_quotes
from tests.support.examples import examples

QUOTE = "".join(f"> line {n} of the old mail\n" for n in range(2500))
OLD = "".join(f"line {n} of the old mail\n" for n in range(2500))
OUTLOOK = "From: Ann <ann@example.com>\nSent: Monday\nTo: Shop\nSubject: Order 7\n\n"
ROOM = 20_000


def left_out(text: str) -> int:
    counts = re.findall(r"^\[… ([\d,]+) lines? of quoted text left out: open the email", text, re.M)
    return sum(int(count.replace(",", "")) for count in counts)


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        (f"On Monday, Ann wrote:\n{QUOTE}\nCancel the order NOW", ["wrote:", "order NOW"]),
        (f"Cancel the order NOW\n\nOn Monday, Ann wrote:\n{QUOTE}", ["order NOW", "wrote:"]),
        (
            f"Hello\n> a?\nYes to a.\n{QUOTE}No to the rest.\n> b?\nYes to b.\n{QUOTE}Bye",
            ["Hello", "> a?", "Yes to a.", "No to the rest.", "> b?", "Yes to b.", "Bye"],
        ),
        (f"Cancel\n{QUOTE.replace('> ', '> > ')}\n\n{QUOTE}No, keep it", ["Cancel", "No, keep it"]),
        (f"> {'one long line ' * 6000}\nCancel", ["Cancel"]),
    ],
)
def test_shorten_quotes_keeps_every_answer(text: str, answers: list[str]) -> None:
    short = shorten_quotes(text, ROOM)
    assert len(short.encode()) <= ROOM
    assert [answer for answer in answers if answer not in short] == []
    kept = sum(line.startswith(">") for line in short.split("\n"))
    quoted = sum(line.startswith(">") for line in text.split("\n"))
    # An empty line between two quotes counts as one of them.
    assert quoted <= left_out(short) + kept <= quoted + 2


@pytest.mark.parametrize(
    "header",
    [
        OUTLOOK,
        f"-----Original Message-----\n{OUTLOOK}",
        "Von: Ann\nGesendet: Montag\nAn: Shop\nBetreff: Bestellung 7\n\n",
        "*From:* Ann <ann@example.com>\n*Date:* Monday\n*To:* Shop\n*Subject:* Order 7\n\n",
        "发件人: Ann\n发送时间: 2025\n收件人: Shop\n主题: 7\n\n",
        "On Monday, 3 November 2025, Ann <ann@example.com> wrote:\n\n",
        "Am 3. November 2025 schrieb Ann <ann@example.com>:\n",
    ],
)
def test_shorten_quotes_finds_history_without_marks(header: str) -> None:
    text = f"Cancel the order NOW\n\n{header}{OLD}An answer below it"
    short = shorten_quotes(text, ROOM)
    assert len(short.encode()) <= ROOM
    assert short.startswith(f"Cancel the order NOW\n\n{header.splitlines()[0]}\n")
    assert short.endswith("\nAn answer below it")
    assert left_out(short) > 1000
    least = shorten_quotes(text, 10)
    assert least.count("of the old mail") >= MIN_UNMARKED // 2
    assert least.endswith("\nAn answer below it")


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        (f"See below\n\n---------- Forwarded message ---------\n{OUTLOOK}{OLD}", "Order 7"),
        (f"See below\n\n{OUTLOOK}{OLD}", "FW: Order 7"),
        (f"See below\n\n{OUTLOOK}{OLD}", "WG: Order 7"),
        (f"{OUTLOOK}{OLD}", "Order 7"),
        (f"My trip\nFrom: Berlin\nTo: Paris\nDate: Monday\n{OLD}", "Order 7"),
        (f"As I wrote: nothing came.\n{OLD}"[3:], "Order 7"),
        (OLD, "Order 7"),
    ],
)
def test_shorten_quotes_leaves_what_is_no_history(text: str, subject: str) -> None:
    assert shorten_quotes(text, ROOM, subject=subject) == text


def test_shorten_quotes_omits_no_more_than_it_must() -> None:
    text = f"{QUOTE}answer"
    most = shorten_quotes(text, len(text) - 1)
    assert 1000 <= most.count("> line") < 2500
    assert shorten_quotes(text, len(text)).count("> line") <= 1000
    assert shorten_quotes(text, 100) == (
        "[… 2,500 lines of quoted text left out: open the email in Gmail]\nanswer"
    )


LINES = st.sampled_from(
    ["> a", ">", "", "words", "> > b", "On x, Ann wrote:", "From: a", "Subject: b", "To: c"]
)


@settings(max_examples=examples(500), derandomize=True, deadline=None)
@given(st.lists(LINES, max_size=60), st.integers(0, 400))
def test_shorten_quotes_loses_only_quotes(lines: list[str], room: int) -> None:
    text = "\n".join(lines)
    short = shorten_quotes(text, room)
    assert len(short) <= len(text)
    kept = short.split("\n")
    if "wrote:" not in text and "From:" not in text:
        assert [line for line in kept if line == "words"] == [w for w in lines if w == "words"]
    assert left_out(short) + len([one for one in kept if not one.startswith("[…")]) == len(
        text.split("\n")
    )
