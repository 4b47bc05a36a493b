"""A mail becomes a Message: its sender and text are found, and malformed content never raises an
error that would stop the other mails.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from eventlab.mailroom.mail import correspondents as correspondents_module
from eventlab.mailroom.mail import message as message_module
from eventlab.mailroom.mail.address import Address, addresses
from eventlab.mailroom.mail.charset import clean, codec_of, decode
from eventlab.mailroom.mail.encoding import base64_of
from eventlab.mailroom.mail.header import words
from eventlab.mailroom.mail.message import Attachment, Message
from eventlab.mailroom.mail.mime import parse
from tests.support.mail import BY_NAME, SNIPPET, multipart, read, read_sample, resource, single

LEFT_OUT_PARTS = "[Some parts of this email were left out: open it in Gmail.]"
FIRST_WORDS = "Gmail's first words & no more"
JOHN = ("John Doe", "john.doe@example.com")
AGENT = ("", "agent@example.com")

#: Each sample with its sender's name and address, its subject, and a fragment of its text.
EXPECTED: dict[str, tuple[tuple[str, str], str, str]] = {
    "01-plain": (JOHN, "Where is my order?", "number 4711, and it has not come"),
    "02-alternative": (
        ("Jane Roe", "jane.roe@example.org"),
        "Change of address",
        "to Königsallee 12 from now on.",
    ),
    "03-mixed-attachment": (
        ("Accounts", "billing@example.net"),
        "Invoice 2025-118",
        "our invoice attached.",
    ),
    "04-html-only": (
        ("Shop", "orders@example.com"),
        "A return",
        "too small.\nPlease send me size 43 – or my money back.\n\n"
        "Article  Size\nWalking shoe  42\n  * never",
    ),
    "05-html-hostile": (
        ("Stranger", "stranger@example.net"),
        "<script>alert('subject')</script> You have won",
        "You have won a prize. Your number is 31415.",
    ),
    "06-gb2312": (("张三", "zhang@example.com"), "关于订单的问题", "您好，我的订单还没有到。镕"),
    "07-shift-jis": (("田中", "tanaka@example.org"), "お問い合わせ", "①商品が届きません。"),
    "08-koi8-r": (("Иван", "ivan@example.net"), "Вопрос о счёте", "Почему счёт выставлен дважды?"),
    "09-ks-c-5601": (("김민수", "kim@example.com"), "배송 문의", "언제 배송되나요? 똠방각하"),
    "10-windows-1252": (
        ("Chloe", "chloe@example.org"),
        "Rechnung",
        "100 € ist “falsch” – bitte prüfen.",
    ),
    "11-utf-7": (("Old Program", "old@example.net"), "utf-7", "Grüße aus dem Jahr 1998"),
    "12-unknown-8bit": (
        ("Rene", "rene@example.com"),
        "no charset that exists",
        "Le café est déjà fermé.",
    ),
    "13-wrong-charset": (
        ("Ana", "ana@example.org"),
        "it says latin-1 and is UTF-8",
        "Señor, mañana será tarde.",
    ),
    "14-codec-no-charset": (
        ("Test", "test@example.net"),
        "a codec that is no charset",
        "are not in hexadecimal.",
    ),
    "15-qp-url": (
        ("Newsletter", "news@example.com"),
        "Your link: a=1",
        "https://example.com/confirm?id=42&token=3D3D41&next=%2Fhome\n",
    ),
    "16-inline-image": (
        ("Photographer", "photo@example.org"),
        "The broken part",
        "looks like: [image: the part] Broken, as you see.",
    ),
    "17-attachment-names": (
        ("Clerk", "clerk@example.net"),
        "Three files with odd names",
        "The names are odd.",
    ),
    "18-out-of-office": (
        ("Away", "away@example.com"),
        "Out of office: Your question",
        "I am away until Monday.",
    ),
    "19-vacation-precedence": (
        ("Holiday", "holiday@example.org"),
        "On holiday",
        "Back in two weeks.",
    ),
    "20-x-autoreply": (("Robot", "robot@example.net"), "We got your mail", "Your mail has come in"),
    "21-auto-generated": (
        ("Monitor", "monitor@example.com"),
        "Disk almost full",
        "The disk is 91 % full.",
    ),
    "22-human-auto-no": (("Human", "human@example.org"), "I am a person", "My program says so"),
    "23-bounce": (
        ("Mail Delivery System", "MAILER-DAEMON@example.net"),
        "Undelivered Mail Returned to Sender",
        "could not be delivered: no such mailbox.",
    ),
    "24-read-receipt": (
        ("Reader", "reader@example.com"),
        "Read: your offer",
        "Your mail was shown on a screen.",
    ),
    "25-mailing-list": (
        ("Member", "member@example.org"),
        "[talk] Meeting on Friday",
        "Who comes on Friday?",
    ),
    "26-newsletter": (
        ("Offers", "no-reply@example.com"),
        "Ten percent off",
        "Ten percent off everything (https://example.com/?o=1) until Sunday.",
    ),
    "27-plus-quotes": (
        ('Doe, Joe "JD"', "joe+tag@example.com"),
        "plus and quotes",
        "My address has a plus in it.",
    ),
    "28-quoted-local": (
        ("Jörg Müller", '"j. mueller"@example.org'),
        "Grüße aus Köln",
        "My address is in quotes.",
    ),
    "29-group": (("Ann Example", "ann@example.net"), "from a group", "We are several people."),
    "30-raw-8bit-headers": (
        ("José Pérez", "jose@example.com"),
        "Réclamation n° 5 déposée",
        "Les en-têtes ne sont pas codés.",
    ),
    "31-no-from": (("", ""), "nobody wrote this", "There is no sender."),
    "32-two-froms": (("The First", "first@example.com"), "two senders", "Two headers say From."),
    "33-odd-from": (("", ""), "broken =ZZ wordend", "The address is none."),
    "34-empty": (("", ""), "", ""),
    "35-no-body": (("Silent", "silent@example.net"), "(the subject says it all)", ""),
    "36-broken-boundary": (
        ("Broken", "broken@example.com"),
        "the boundary is another",
        "The text between wrong boundaries.",
    ),
    "37-unclosed": (
        ("Cut", "cut@example.org"),
        "cut off in base64",
        "before the line broke: naïve, was it not? And",
    ),
    "38-forwarded": (
        ("Forwarder", "forward@example.net"),
        "Fwd: see below",
        "Only the inner mail has words.",
    ),
    "39-nul-and-controls": (
        ("Binary", "binary@example.com"),
        "bell and escape [31m",
        "and a lone \n return.",
    ),
    "40-emoji-rtl": (
        ("שרה 🌻", "sara@example.org"),
        "שלום 👩‍👩‍👧 gpj.exe",
        "ההזמנה שלי לא הגיעה 😢\nمرحبا، أين طلبي؟",
    ),
    "41-long-subject": (
        ("Talker", "talker@example.net"),
        " ".join(["It begins here and goes on and on and on and on and on and on"] * 60)[:2000],
        "The subject is longer than the mail.",
    ),
    "42-reply": (
        JOHN,
        "Re: Where is my order?",
        "It has come now. Thank you!\n\n> Can you tell me where it is?",
    ),
    "43-encoded-from": (
        ("Zoë", "zoe@example.com"),
        "all of the header is encoded",
        "Even my address.",
    ),
    "44-calendar": (
        ("Planner", "planner@example.org"),
        "Invitation: a call",
        "Let us talk on Tuesday at ten.",
    ),
    "45-html-meta-charset": (
        ("Page", "page@example.net"),
        "the charset is in the HTML",
        "где мой заказ?",
    ),
    "46-draft": (AGENT, "Re: Where is my order?", "Dear John, let me"),
    "47-sent": (AGENT, "Re: Where is my order?", "Dear John, it is on its way."),
    "48-spam": (("Pills", "pills@example.net"), "Cheap!!!", "Buy now."),
    "49-trash": (("Old News", "old.news@example.org"), "Last year's news", "Nothing new."),
    "50-long-text": (("Writer", "writer@example.com"), "a long letter", "05999 äöü 漢字 this line"),
    "51-deep-mails": (("Matryoshka", "doll@example.org"), "deep", LEFT_OUT_PARTS),
    "52-many-parts": (
        ("Splitter", "split@example.net"),
        "many parts",
        "part 998\n\n[Some parts of this email were left out",
    ),
    "53-deep-html": (("Nest", "nest@example.com"), "deep HTML", "words at the bottom of a nest"),
    "54-long-html": (("List", "list@example.org"), "long HTML", "row 3999  27993 pieces"),
    "55-many-recipients": (
        ("Organiser", "organiser@example.net"),
        "all of you",
        "You are all invited.",
    ),
    "56-large-attachment": (
        ("Filmer", "filmer@example.com"),
        "a large attachment",
        "The film is attached.",
    ),
    "57-many-lines": (
        ("Wild Program", "wild@example.org"),
        "lines and lines",
        "It goes on like this:",
    ),
}
AUTOMATIC = {
    "18-out-of-office": ("reply", "Auto-Submitted: auto-replied"),
    "19-vacation-precedence": ("reply", "Precedence: auto_reply"),
    "20-x-autoreply": ("reply", "X-Autoreply"),
    "21-auto-generated": ("notice", "Auto-Submitted: auto-generated"),
    "23-bounce": ("bounce", "multipart/report: delivery-status"),
    "24-read-receipt": ("receipt", "multipart/report: disposition-notification"),
    "25-mailing-list": ("list", "List-Id"),
    "26-newsletter": ("bulk", "List-Unsubscribe"),
    "44-calendar": ("calendar", "text/calendar: request"),
}
ATTACHMENTS = {
    "03-mixed-attachment": [("invoice-118.pdf", "application/pdf", 816)],
    "16-inline-image": [("part.png", "image/png", 70)],
    "17-attachment-names": [
        ("Übersicht 1.xls", "application/octet-stream", 3),
        ("見積書.txt", "text/plain", 4),
        ("café.zip", "application/zip", 5),
    ],
    "23-bounce": [
        ("(no name)", "message/delivery-status", 114),
        ("The original subject", "message/rfc822", 106),
    ],
    "24-read-receipt": [("(no name)", "message/disposition-notification", 102)],
    "38-forwarded": [("The inner mail", "message/rfc822", 152)],
    "44-calendar": [("invite.ics", "text/calendar", 30)],
    "51-deep-mails": [("(no name)", "message/rfc822", 95978)],
    "56-large-attachment": [("film.mp4", "video/mp4", 4104000)],
}
WITH_HTML = {"02", "04", "05", "16", "26", "44", "45", "53", "54"}

# -------------------------------------------------------------------------------------- the samples


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_message_is_read_from_each_sample(name: str) -> None:
    mail = read_sample(name)
    sender, subject, fragment = EXPECTED[name]
    assert (mail.sender_name, mail.sender_address) == sender
    assert mail.subject == subject
    assert fragment in mail.text
    assert bool(fragment) is bool(mail.text)
    assert (mail.automatic and (mail.automatic.kind, mail.automatic.reason)) == AUTOMATIC.get(name)
    assert [(a.name, a.type, a.size) for a in mail.attachments] == ATTACHMENTS.get(name, [])
    assert bool(mail.html) is (name[:2] in WITH_HTML)
    assert mail.problem is None


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_message_has_no_replacement_or_control_characters(name: str) -> None:
    mail = read_sample(name)
    shown = [mail.text, mail.subject, mail.sender_name, *(a.name for a in mail.attachments)]
    assert not any(
        (ord(c) < 32 and c not in "\n\t") or c == "\ufffd" or 0xD800 <= ord(c) < 0xE000
        for c in "".join(shown)
    )


def test_message_text_keeps_nothing_of_hostile_html() -> None:
    text = read_sample("05-html-hostile").text
    # The one link is shown as text, so that an agent sees where it leads.
    assert text.count("http") == text.count("or here (http://tracker.example.net/link)") == 1
    assert not any(
        word in text for word in ("document", "font", "hidden", "javascript", "<", "\n\n\n")
    )


def test_message_takes_ids_labels_date_and_size_from_gmail() -> None:
    mail = read_sample("42-reply")
    first = read_sample("01-plain")
    assert mail.gmail_id == BY_NAME["42-reply"].gmail_id
    assert mail.thread_id == first.thread_id == first.gmail_id
    assert mail.label_ids == ("INBOX", "UNREAD")
    assert mail.date == datetime(2025, 11, 3, 12, 47, tzinfo=UTC)
    assert mail.size == len(BY_NAME["42-reply"].raw)


def test_message_has_its_message_id_and_references() -> None:
    mail = read_sample("42-reply")
    assert mail.message_id == "<order-2@example.com>"
    assert mail.references == ("<order-1@example.com>", "<answer-1@example.com>")
    assert read_sample("18-out-of-office").references == ("<answer-1@example.com>",)
    assert read_sample("33-odd-from").message_id == "no brackets here"


def test_message_keeps_the_raw_sender_when_it_is_not_an_address() -> None:
    mail = read_sample("33-odd-from")
    assert (mail.raw_from, mail.sender_domain) == ('<""@x>', "")


def test_sender_domain_is_lowercase() -> None:
    assert read(b"From: Joe@Mail.EXAMPLE.com\r\n\r\n").sender_domain == "mail.example.com"


def test_message_repr_shows_no_content() -> None:
    mail = read_sample("23-bounce")
    assert (
        repr(mail)
        == f"Message(gmail_id='{mail.gmail_id}', thread_id='{mail.thread_id}', size={mail.size})"
    )


# -------------------------------------------------------------------------------- unreadable mails


def deep(levels: int) -> bytes:
    head = b"From: Doll <doll@example.org>\r\nSubject: deep\r\n"
    return head + b"Content-Type: message/rfc822\r\n\r\n" * levels + b"the core\r\n"


def test_message_says_that_mails_nested_too_deep_are_left_out() -> None:
    mail = read(deep(3000))
    assert (mail.sender_address, mail.subject, mail.text) == (
        "doll@example.org",
        "deep",
        LEFT_OUT_PARTS,
    )
    assert mail.problem is None


def test_message_is_read_through_20_nested_mails() -> None:
    mail = read(deep(20))
    assert (mail.text, mail.problem) == ("the core", None)
    assert mail.attachments == (Attachment("(no name)", "message/rfc822", 618),)


def test_message_says_that_parts_nested_too_deep_are_left_out() -> None:
    nest = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
        for n in range(1500)
    )
    mail = read(b"Subject: maze\r\n" + nest)
    assert (mail.subject, mail.text) == ("maze", LEFT_OUT_PARTS)


def test_parse_cuts_long_headers_before_reading_them() -> None:
    part = parse(
        b"Content-Type: text/plain" + b";a" * 5000 + b"\r\nSubject: " + b"x" * 100_000 + b"\r\n\r\n"
    )
    assert part.value("content-type").count(b";") < 50
    assert len(part.value("subject")) == 32 * 1024


@pytest.mark.parametrize(
    "error", [LookupError, UnicodeError, AttributeError, TypeError, RecursionError, OverflowError]
)
def test_message_records_a_parser_error_instead_of_raising_it(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def body_of(_mail: object) -> None:
        raise error("joe@example.com")

    monkeypatch.setattr(message_module, "body_of", body_of)
    mail = read(BY_NAME["01-plain"].raw)
    assert (mail.sender_address, mail.text) == (JOHN[1], FIRST_WORDS)
    assert error.__name__ in str(mail.problem)
    assert "joe@" not in str(mail.problem)


def test_message_falls_back_to_the_snippet_when_its_headers_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def addresses(value: bytes, _hint: object) -> list[Address]:
        if value:
            raise RecursionError
        return []

    monkeypatch.setattr(correspondents_module, "addresses", addresses)
    mail = read(BY_NAME["01-plain"].raw)
    assert (mail.sender_address, mail.subject, mail.text) == ("", "", FIRST_WORDS)
    assert "RecursionError" in str(mail.problem)
    huge = Message.from_gmail({"id": "1", "payload": parsed_payload(), "snippet": SNIPPET})
    assert (huge.sender_address, huge.text) == ("", FIRST_WORDS)


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"id": None, "raw": None, "payload": None, "labelIds": None, "internalDate": None},
        {
            "id": 7,
            "raw": "%%%%",
            "labelIds": "INBOX",
            "internalDate": "soon",
            "sizeEstimate": "many",
        },
        {"id": "1", "raw": "A", "internalDate": "9" * 18},
        {"id": "1", "raw": "ü\ud800"},
        {"id": "1", "payload": {"headers": {"a": 1}, "parts": {"b": 2}}},
        {
            "id": "1",
            "payload": {
                "headers": [None, {}, {"name": "From"}, {"value": 1}],
                "parts": [None, {"body": 1}],
            },
        },
        {
            "id": "1",
            "payload": {"headers": [{"name": "From", "value": "\ud800 <a@example.com>"}]},
            "snippet": "\udfff",
        },
        {
            "id": "1",
            "payload": {"headers": [{"name": "Content-Type", "value": ";=\x00\r\n;"}]},
            "snippet": 5,
        },
    ],
)
def test_message_accepts_any_gmail_response(odd: dict[str, Any]) -> None:
    mail = Message.from_gmail(odd)
    assert (mail.sender_name + mail.text + mail.gmail_id).encode() is not None
    assert mail.date.tzinfo is UTC


def parsed_payload() -> dict[str, Any]:
    headers = {
        "From": "Zoë <zoe+x@example.com>",
        "Subject": "=?utf-8?q?gro=C3=9F?=",
        "Content-Type": 'multipart/report; report-type="delivery-status"; boundary=b',
        "Message-ID": "<1@example.com>",
    }
    film = {
        "filename": "film.mp4",
        "mimeType": "video/mp4",
        "body": {"size": 9_000_000, "attachmentId": "ANGj"},
    }
    text = {"filename": "", "mimeType": "text/plain", "body": {"size": 20}}
    return {
        "headers": [{"name": name, "value": value} for name, value in headers.items()],
        "parts": [{"mimeType": "multipart/mixed", "parts": [text, film]}],
    }


def test_message_of_a_huge_mail_is_read_from_gmails_parsed_payload() -> None:
    mail = Message.from_gmail(
        {
            "id": "1",
            "sizeEstimate": 9_100_000,
            "snippet": SNIPPET,
            "payload": parsed_payload(),
            "internalDate": "1000",
        }
    )
    assert (mail.sender_name, mail.sender_address, mail.subject) == (
        "Zoë",
        "zoe+x@example.com",
        "groß",
    )
    assert mail.attachments == (Attachment("film.mp4", "video/mp4", 9_000_000),)
    assert (mail.text, mail.size, mail.message_id) == (FIRST_WORDS, 9_100_000, "<1@example.com>")
    assert mail.automatic is not None
    assert mail.automatic.kind == "bounce"
    assert "9,100,000 bytes" in str(mail.problem)


def test_message_replaces_a_lone_surrogate_in_a_header() -> None:
    headers = [{"name": "From", "value": "\ud800 <a@example.com>"}]
    mail = Message.from_gmail({"id": "1", "payload": {"headers": headers}})
    assert (mail.sender_name, mail.sender_address) == ("?", "a@example.com")


def test_message_accepts_raw_without_padding() -> None:
    raw = base64.urlsafe_b64encode(b"Subject: ab\r\n\r\n\xfb\xff").decode()
    assert "-" in raw or "_" in raw
    assert Message.from_gmail({"id": "1", "raw": raw.rstrip("=")}).subject == "ab"


# -------------------------------------------------------------------------------------------- parts


PLAIN = b"Content-Type: text/plain\r\n\r\nplain words"
PAGE = b"Content-Type: text/html\r\n\r\n<p>words of a page"


def test_message_text_prefers_the_plain_alternative() -> None:
    assert read(multipart("alternative", PAGE, PLAIN)).text == "plain words"


def test_message_text_skips_an_empty_plain_alternative() -> None:
    assert (
        read(multipart("alternative", b"Content-Type: text/plain\r\n\r\n \r\n", PAGE)).text
        == "words of a page"
    )


def test_message_text_joins_several_texts_in_order() -> None:
    assert read(multipart("mixed", PLAIN, PAGE)).text == "plain words\n\nwords of a page"


def test_message_text_is_an_attached_text_file_only_without_another_text() -> None:
    file = (
        b"Content-Type: text/plain; name=a.txt\r\n"
        b"Content-Disposition: attachment\r\n\r\nin the file"
    )
    mail = read(multipart("mixed", file, PLAIN))
    assert (mail.text, mail.attachments) == (
        "plain words",
        (Attachment("a.txt", "text/plain", 11),),
    )
    assert read(multipart("mixed", file)).text == "in the file"


def test_message_text_ends_with_the_mail_within_it() -> None:
    inner = b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner words"
    forwarded = "---------- Forwarded message ----------\nSubject: inner\n\ninner words"
    assert read(multipart("mixed", inner, PLAIN)).text == f"plain words\n\n{forwarded}"
    assert read(multipart("mixed", inner)).text == forwarded


def test_message_text_reports_deep_parts_it_leaves_out() -> None:
    nest = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(60)
    )
    assert "left out" in read(nest + PLAIN).text


def test_message_text_reports_excess_html_it_leaves_out() -> None:
    page = b"Content-Type: text/html\r\n\r\n" + b"<li>word" * 6000
    text = read(multipart("mixed", page, page, PLAIN)).text
    assert text.count("word\n") < 7000
    assert "plain words\n\n[Some parts of this email were left out" in text


@pytest.mark.parametrize("name", ["B", "b", "BASE64"])
def test_message_text_decodes_base64_with_invalid_characters(name: str) -> None:
    coding = "base64" if len(name) == 1 else name
    raw = single(
        b"aGVs!bG8g\r\n*d29y bGQ=YW5k IG1vcmU=\r\n", f"Content-Transfer-Encoding: {coding}"
    )
    assert read(raw).text == "hello worldand more"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (b'filename="a;b.txt"', "a;b.txt"),
        (b"filename=a.txt", "a.txt"),
        (b"filename*=utf-8''%E2%82%AC%20rates.txt", "€ rates.txt"),
        (b"filename*=x-none''caf%E9.txt", "café.txt"),
        (b"filename*=hex''6869", "6869"),
        (b"filename*=a\x00b''x.txt", "x.txt"),
        (b'filename="=?iso-8859-1?Q?caf=E9=2Etxt?="', "café.txt"),
        ('filename="día.txt"'.encode(), "día.txt"),
        (b'filename="../../etc\r\n\t/x"', "../../etc /x"),
    ],
)
def test_attachment_name_is_read_from_any_encoding(name: bytes, found: str) -> None:
    file = b"Content-Type: application/x\r\nContent-Disposition: attachment; " + name + b"\r\n\r\nx"
    assert [a.name for a in read(multipart("mixed", PLAIN, file)).attachments] == [found]


# ------------------------------------------------------------------------------------------ headers


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("joe+tag@example.com", [("", "joe+tag@example.com")]),
        ("<joe+tag@example.com>", [("", "joe+tag@example.com")]),
        ("Joe <joe+tag@example.com>", [("Joe", "joe+tag@example.com")]),
        ('"Doe, Joe" <joe@example.com>', [("Doe, Joe", "joe@example.com")]),
        ('"a \\"b\\" c" <joe@example.com>', [('a "b" c', "joe@example.com")]),
        ("joe@example.com (Joe (the) Doe)", [("Joe (the) Doe", "joe@example.com")]),
        ("Joe (comment) <joe@example.com>", [("Joe", "joe@example.com")]),
        ("a@example.com, Bob <b@example.org>", [("", "a@example.com"), ("Bob", "b@example.org")]),
        ("team: a@example.com, b@example.com;", [("", "a@example.com"), ("", "b@example.com")]),
        ("undisclosed-recipients:;", []),
        (
            "team: Ann <a@example.com>;, c@example.com",
            [("Ann", "a@example.com"), ("", "c@example.com")],
        ),
        ('"joe doe"@example.com', [("", '"joe doe"@example.com')]),
        ('"joe@home"@example.com', [("", '"joe@home"@example.com')]),
        ("<@relay.example.net,@b.example.net:joe@example.com>", [("", "joe@example.com")]),
        ("joe @ example . com", [("", "joe@example.com")]),
        ("joe . doe @ example.com", [("", "joe.doe@example.com")]),
        ("Joe Doe joe@example.com", [("", "joe@example.com")]),
        (" @example.com", [("@example.com", "")]),
        ("Joe <joe@example.com", [("Joe", "joe@example.com")]),
        ("joe@[192.0.2.1]", [("", "joe@[192.0.2.1]")]),
        ("jürgen@exämple.example", [("", "jürgen@exämple.example")]),
        ("=?utf-8?q?J=C3=B6rg=2C_A=2E?= <j@example.com>", [("Jörg, A.", "j@example.com")]),
        ('"=?utf-8?q?J=C3=B6rg?=" <j@example.com>', [("Jörg", "j@example.com")]),
        ("=?utf-8?q?Doe,_Joe:_x?= <j@example.com>", [("Doe, Joe: x", "j@example.com")]),
        ("joe@example.com (unclosed", [("unclosed", "joe@example.com")]),
        ("a=b@example.com", [("", "a=b@example.com")]),
        ("joe@example.com <ann@example.org>", [("joe@example.com", "ann@example.org")]),
        ("Joe", [("Joe", "")]),
        ('<""@x>', [("", "")]),
        ("<>", [("", "")]),
        ("", []),
        ("Joe <joe@example.com\r\n\tevil: x>", [("Joe", "")]),
        ("Joe <joe@example.com@@>", [("Joe", "")]),
        ("((((", []),
        ('"unclosed <joe@example.com>', [('"unclosed', "joe@example.com")]),
    ],
)
def test_addresses_are_read(value: str, found: list[tuple[str, str]]) -> None:
    assert [(one.name, one.address) for one in addresses(value.encode())] == found


@pytest.mark.parametrize(
    "piece", ["(", "<", '"', ",", ":", ";", "\\", "[", "@", "a@b,", "<@a,", "()", '"" ']
)
def test_addresses_are_bounded_for_any_repeated_piece(piece: str) -> None:
    for one in addresses((piece * 8000)[:8000].encode()):
        assert len(one.address) <= 320


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?q?a_b?=", "a b"),
        (b"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        (b"=?utf-8?q?a?= and =?utf-8?q?b?=", "a and b"),
        (b"=?utf-8?q?a?=\r\n =?iso-8859-1?q?=E9?=", "aé"),
        (b"=?utf-8?b?4oI=?= =?utf-8?b?rA==?=", "€"),  # cut in the middle of a character
        (b"=?koi8-r*ru?Q?=D7?=", "в"),
        (b"=?gb2312?b?6aE=?=", "椤"),
        (b"=?x-unknown?q?caf=E9?=", "café"),
        (b"=?hex?q?6869?=", "6869"),
        (b"=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        (b"=?utf-8?q?a b?=", "a b"),
        (b"=?utf-8?q?evil=0D=0ABcc:_x?=", "evil Bcc: x"),
        (b"=?utf-8?q?=E2=80=AEgpj=2Eexe?=", "gpj.exe"),
        ("café".encode(), "café"),
        ("café".encode("latin-1"), "café"),
        (b"a\x00\x07b\r\n\tc", "ab c"),
    ],
)
def test_words_are_decoded(value: bytes, text: str) -> None:
    assert words(value) == text


def test_raw_header_bytes_use_the_charset_of_the_mail() -> None:
    raw = (
        b"Subject: "
        + "Вопрос".encode("koi8_r")
        + b"\r\nContent-Type: text/plain; charset=koi8-r\r\n\r\n"
    )
    assert read(raw).subject == "Вопрос"
    part = b"Content-Type: text/plain; charset=koi8-r\r\n\r\nx"
    inner = multipart("alternative", part).partition(b"\r\n")[2]
    inner = inner.replace(b"boundary=b", b"boundary=c").replace(b"--b", b"--c")
    assert read(raw.partition(b"Content-")[0] + multipart("mixed", inner)).subject == "Вопрос"


def test_base64_of_decodes_as_much_as_possible_when_cut_off() -> None:
    encoded = base64.b64encode(b"hello world, hello")
    assert [base64_of(encoded[:n]) for n in (24, 22, 21, 20)] == [
        b"hello world, hello",
        b"hello world, hel",
        b"hello world, he",
        b"hello world, he",
    ]


def test_sender_is_read_from_other_headers_when_from_has_no_address() -> None:
    assert (
        read(b"From: Joe\r\nReply-To: joe@example.com\r\n\r\n").sender_address == "joe@example.com"
    )
    assert (
        read(b"Sender: ann@example.com\r\nReply-To: joe@example.com\r\n\r\n").sender_address
        == "ann@example.com"
    )
    assert read(b"From: \r\nFrom: Ann <ann@example.com>\r\n\r\n").sender_name == "Ann"


def test_sender_is_read_from_only_the_first_few_from_headers() -> None:
    assert read(b"From: Joe\r\n" * 5 + b"From: joe@example.com\r\n\r\n").sender_address == ""


# ----------------------------------------------------------------------------------------- charsets


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("x-gbk", "gb18030"),
        ("GB2312", "gb18030"),
        ("ks_c_5601-1987", "cp949"),
        ("Shift_JIS", "cp932"),
        ("x-mac-cyrillic", "mac_cyrillic"),
        ("iso-8859-8-i", "iso8859_8"),
        ("charset=us-ascii", "cp1252"),
        ('"utf-8"', "utf_8"),
        ("UTF8", "utf_8"),
        ("latin1", "cp1252"),
        ("windows-1252", "cp1252"),
        ("1252", "cp1252"),
        ("cp1252", "cp1252"),
        ("iso-2022-jp", "iso2022_jp"),
        ("iso-8859-15", "iso8859_15"),
        ("euc-kr", "cp949"),
        ("big5", "big5hkscs"),
        *(
            (name, None)
            for name in (
                "",
                "unknown-8bit",
                "x-unknown",
                "hex",
                "zlib",
                "rot13",
                "base64",
                "idna",
                "punycode",
            )
        ),
        *(
            (name, None)
            for name in (
                "unicode_escape",
                "raw_unicode_escape",
                "undefined",
                "mbcs",
                "a" * 500,
                "a\x00b",
                "..",
            )
        ),
    ],
)
def test_codec_of_knows_the_many_names_of_charsets(name: str, codec: str | None) -> None:
    assert codec_of(name) == codec
    assert codec_of(None) is None


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        ("€ “x”".encode("cp1252"), "iso-8859-1", "€ “x”"),
        ("café".encode(), "iso-8859-1", "café"),
        ("café".encode(), "us-ascii", "café"),
        ("für 5 €".encode(), "euc-jp", "für 5 €"),  # not valid EUC-JP, but valid UTF-8
        (b"caf\xe9", "utf-8", "café"),
        (b"caf\xe9", None, "café"),
        ("à la carte, garçon, è".encode()[:-1], "utf-8", "à la carte, garçon, \ufffd"),
        (b"\xef\xbb\xbfmark", "utf-8", "mark"),
        ("日本".encode("iso2022_jp"), "iso-2022-jp", "日本"),
        ("日本".encode("utf-16"), "utf-16", "日本"),
        (b"\x81", "windows-1252", ""),
        (
            "日本".encode("iso2022_jp")[:-4],
            "iso-2022-jp",
            "日\ufffd",
        ),  # only ASCII bytes, cut inside a character
        (b"ab\xff\xff", "iso-2022-jp", "abÿÿ"),
    ],
)
def test_decode_returns_text_for_any_bytes(data: bytes, charset: str | None, text: str) -> None:
    assert clean(decode(data, charset)) == text


def test_clean_normalizes_line_ends_and_removes_controls() -> None:
    assert (
        clean("a\r\nb\rc\u2028d\x85e\x0bf\x00\x1b\x9f\ufeff\ud800\tg")
        == "a\nb\nc\nd\ne\nf\ufffd\tg"
    )


def test_resource_encodes_raw_as_gmail_does() -> None:
    assert base64.urlsafe_b64decode(resource(b"\xff\xfe")["raw"]) == b"\xff\xfe"
