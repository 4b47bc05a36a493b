"""The exercises of 11_mail_as_it_is."""

from __future__ import annotations

import base64
from collections.abc import Callable

from eventlab.lessons.choices import choices
from eventlab.lessons.exercise import Exercise, Wrong

where_the_words_are = Exercise(
    judge=choices(
        {
            "a": ("1", "an email with one part has its words at the root."),
            "b": (
                "1.1",
                "both parts say the same thing. The plain part is for programs that show no HTML, "
                "such as ours.",
            ),
            "c": ("1.1.1", "the root and its first child only hold other parts. Go down."),
            "d": ("1.1", "the second part is an attached file, not what the sender wrote."),
        },
        ("1", "1.1", "1.2", "1.1.1", "1.1.2", "1.2.1"),
    ),
    right="go down to the first text that is not an attachment.",
    hints=[
        "a multipart never has words of its own: count its children, 1.1, 1.2, and so on.",
        "in c, the alternative is the first child of the root: its children are 1.1.1 and 1.1.2.",
    ],
    answer="""
        paths = {"a": "1", "b": "1.1", "c": "1.1.1", "d": "1.1"}
    """,
    explanation="Most emails look like b or c. The naive way finds words only in a.",
    mistakes=[
        """
        paths = {"a": "1", "b": "1", "c": "1", "d": "1"}
        """,
        """
        paths = {"a": "1", "b": "1.1", "c": "1.1", "d": "1.1"}
        """,
        """
        paths = {"a": "1", "b": "1.1", "c": "1.1.1", "d": "1.2"}
        """,
    ],
)


def _mail(headers: str, body: bytes) -> bytes:
    return f"From: ann@example.org\r\nMIME-Version: 1.0\r\n{headers}\r\n\r\n".encode() + body


def _parts(*parts: tuple[str, bytes], kind: str = "alternative") -> bytes:
    body = b"".join(f"--b\r\n{head}\r\n\r\n".encode() + text + b"\r\n" for head, text in parts)
    return _mail(f"Content-Type: multipart/{kind}; boundary=b", body + b"--b--\r\n")


_PLAIN = "Content-Type: text/plain; charset="
_TEXTS: dict[str, tuple[bytes, str, str]] = {
    "plain ASCII": (
        _mail(_PLAIN + "us-ascii", b"Where is my order?"),
        "Where is my order?",
        "this is the easiest case.",
    ),
    "base64": (
        _mail(
            _PLAIN + "utf-8\r\nContent-Transfer-Encoding: base64",
            base64.b64encode("Grüße".encode()),
        ),
        "Grüße",
        "the header Content-Transfer-Encoding says how the bytes were encoded.",
    ),
    "quoted-printable": (
        _mail(
            _PLAIN + "iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable",
            b"Gr=FC=DFe",
        ),
        "Grüße",
        "decode the bytes first; then the charset says which letters they are.",
    ),
    "windows-1252": (
        _mail(_PLAIN + "windows-1252\r\nContent-Transfer-Encoding: 8bit", b"100 \x80"),
        "100 €",
        "the charset is in the header: do not take UTF-8 for granted.",
    ),
    "plain and HTML": (
        _parts((_PLAIN + "utf-8", b"It is blue."), ("Content-Type: text/html", b"<b>It</b>")),
        "It is blue.",
        "both parts say the same thing; take the plain part.",
    ),
    "a file before the text": (
        _parts(
            (
                _PLAIN + "utf-8\r\nContent-Disposition: attachment; filename=log.txt",
                b"line 1 of a log",
            ),
            (_PLAIN + "utf-8", b"The log is attached."),
            kind="mixed",
        ),
        "The log is attached.",
        "an attachment may be text, too, but it is not what the sender wrote.",
    ),
    "an unknown charset": (
        _mail(_PLAIN + "klingon", b"Hello"),
        "Hello",
        "no program knows this charset. One such email must not stop the others: use UTF-8, and "
        "replace the bytes that do not fit.",
    ),
    "no text at all": (
        _parts(("Content-Type: image/png", b"..."), kind="mixed"),
        "",
        "there is nothing to read: return an empty string.",
    ),
}


def _judge_text(text_of: Callable[[bytes], str]) -> None:
    for name, (raw, expected, why) in _TEXTS.items():
        try:
            found = text_of(raw)
        except Exception as error:
            raise Wrong(f"{name}: your function raised {type(error).__name__}: {why}") from error
        if not isinstance(found, str) or found.strip() != expected:
            raise Wrong(f"{name}: you returned {found!r}; expected {expected!r}: {why}")


the_text_of_a_mail = Exercise(
    judge=_judge_text,
    right="you handled three layers, in this order: structure, encoding, charset.",
    hints=[
        "email.message_from_bytes(raw, policy=email.policy.default) gives a message with more "
        "methods: see get_body and get_content.",
        'get_body(("plain",)) skips attachments, and returns None if there is no such part. '
        "get_content raises LookupError for an unknown charset; get_payload(decode=True) gives "
        "the bytes.",
    ],
    answer="""
        import email
        import email.policy


        def text_of(raw):
            message = email.message_from_bytes(raw, policy=email.policy.default)
            part = message.get_body(("plain",))
            if part is None:
                return ""
            try:
                return part.get_content()
            except LookupError:
                return part.get_payload(decode=True).decode("utf-8", "replace")
    """,
    explanation="The mailroom's own reader does the same for the charsets that browsers know, for "
    "HTML, and for bytes that contradict their header.",
    mistakes=[
        """
        def text_of(raw):
            return raw.partition(b"\\r\\n\\r\\n")[2].decode()
        """,
        """
        import email


        def text_of(raw):
            return email.message_from_bytes(raw).get_payload(decode=True).decode()
        """,
        """
        import email


        def text_of(raw):
            message = email.message_from_bytes(raw)
            for part in message.walk():
                if part.get_content_type() == "text/plain":
                    charset = part.get_content_charset() or "utf-8"
                    return part.get_payload(decode=True).decode(charset)
            return ""
        """,
        """
        import email
        import email.policy


        def text_of(raw):
            message = email.message_from_bytes(raw, policy=email.policy.default)
            return message.get_body(("plain",)).get_content()
        """,
    ],
)

_SENDERS = {
    "joe@example.com": ("joe@example.com", "an address may come without a name."),
    "Joe Doe <joe@example.com>": ("joe@example.com", "the address is between the angle brackets."),
    '"Doe, Joe" <joe+tag@example.com>': (
        "joe+tag@example.com",
        "a plus is an ordinary character: without the part before it, you reply to a stranger.",
    ),
    '"joe@example.com via Shop" <shop@example.org>': (
        "shop@example.org",
        "quoted text is a name, whatever it looks like. If you trust it, you reply to a stranger.",
    ),
    '"Doe, Joe" <joe@example.com>, Ann <ann@example.org>': (
        "joe@example.com",
        "a quoted comma is not a separator, and the first address counts.",
    ),
    '"joe doe"@example.com': (
        '"joe doe"@example.com',
        "a quoted local part is part of the address.",
    ),
    "ann@example.org (not joe@example.com)": (
        "ann@example.org",
        "text in parentheses is a comment.",
    ),
    "The Shop": ("", "there is no address: return an empty string."),
}


def _judge_sender(sender: Callable[[str], str]) -> None:
    for header, (expected, why) in _SENDERS.items():
        try:
            found = sender(header)
        except Exception as error:
            raise Wrong(
                f"for {header!r}, your function raised {type(error).__name__}: one email must not "
                "stop the others."
            ) from error
        if found != expected:
            raise Wrong(f"for {header!r}, you returned {found!r}; expected {expected!r}: {why}")


the_senders_address = Exercise(
    judge=_judge_sender,
    right="an address has a grammar. A parser knows it; a regular expression guesses.",
    hints=[
        "getaddresses, in the cell above, returns pairs of a name and an address.",
        "take the first address with an @ in it; if there is none, return an empty string.",
    ],
    answer="""
        from email.utils import getaddresses


        def sender(header):
            found = [address for _, address in getaddresses([header]) if "@" in address]
            return found[0] if found else ""
    """,
    explanation="The parser follows the header's grammar: names, comments, quotes, and addresses. "
    "(The mailroom's own parser also reads raw bytes, encoded words and groups.)",
    mistakes=[
        """
        import re


        def sender(header):
            found = re.search(r"[\\w.-]+@[\\w.-]+", header)
            return found[0] if found else ""
        """,
        """
        import re


        def sender(header):
            found = re.search(r"[\\w.+-]+@[\\w.-]+", header)
            return found[0] if found else ""
        """,
        """
        import re


        def sender(header):
            return re.search("<(.*?)>", header)[1]
        """,
        """
        def sender(header):
            return header.partition("<")[2].partition(">")[0] or header
        """,
    ],
)


person_or_machine = Exercise(
    judge=choices(
        {
            "a": ("person", "no header suggests a machine."),
            "b": (
                "machine",
                "an agent who replies to this email talks to an out-of-office program, forever.",
            ),
            "c": (
                "person",
                "Exchange adds this header to emails that people write. On its own, the header "
                "proves nothing, and a customer would wait for a reply that never comes.",
            ),
            "d": (
                "person",
                "a web form sends email from its own address. Reply-To names the person who "
                "filled in the form and is waiting for a reply.",
            ),
            "e": (
                "machine",
                "this email reports that an email of ours did not arrive: nobody is waiting for a "
                "reply.",
            ),
            "f": (
                "machine",
                "this email goes to thousands of people. Nobody wrote it just to us.",
            ),
        },
        ("person", "machine"),
    ),
    right="a sign that can mislead needs a second sign. If in doubt, assume that a person is "
    "waiting.",
    hints=[
        "for each email, imagine the mistake: an agent reads a machine's email, or a customer is "
        "ignored.",
        "two of the signs are also on emails that people write: c and d.",
    ],
    answer="""
        kinds = {
            "a": "person", "b": "machine", "c": "person",
            "d": "person", "e": "machine", "f": "machine",
        }
    """,
    explanation="The mailroom marks automatic email instead of hiding it, and names the sign.",
    mistakes=[
        """
        kinds = {
            "a": "person", "b": "machine", "c": "machine",
            "d": "person", "e": "machine", "f": "machine",
        }
        """,
        """
        kinds = {
            "a": "person", "b": "machine", "c": "person",
            "d": "machine", "e": "machine", "f": "machine",
        }
        """,
        """
        kinds = {
            "a": "person", "b": "person", "c": "person",
            "d": "person", "e": "person", "f": "person",
        }
        """,
        """
        kinds = {
            "a": "person", "b": "machine", "c": "person",
            "d": "person", "e": "machine", "f": "person",
        }
        """,
    ],
)

_HOSTILE: dict[str, tuple[str, tuple[str, ...], str]] = {
    "<p>Hello <b>Ann</b></p>": ("an ordinary email", ("Hello", "Ann"), "keep the words only."),
    "<script>steal()</script>Hi": (
        "a script",
        ("Hi",),
        "keep the words around a script, but not the code inside it.",
    ),
    "<SCRIPT\n>steal()</SCRIPT >Hi": (
        "a script in capitals",
        ("Hi",),
        "browsers accept capitals and line breaks in a tag.",
    ),
    "<scr<script>ipt>steal()</script>Hi": (
        "a script in a script",
        ("Hi",),
        "if you cut pieces out, you leave another `<script>`, or lose words: use a parser.",
    ),
    "<img src=x onerror=steal()>Hi": ("a picture", ("Hi",), "a picture can run code."),
    "&lt;script&gt;steal()&lt;/script&gt;": (
        "words about a script",
        ("script",),
        "entities become < and > when they are read: escape the words again.",
    ),
    "Hi <img src='http://tracker/": (
        "a tag that never ends",
        ("Hi",),
        "a browser would close the tag for you.",
    ),
    "1 < 2 & 3": ("a comparison", ("1", "2", "3"), "keep all words, and escape them."),
}


def _judge_words(only_words: Callable[[str], str]) -> None:
    for html, (name, words, why) in _HOSTILE.items():
        shown = only_words(html)
        if not isinstance(shown, str):
            raise Wrong(f"{name}: you returned {shown!r}; expected text.")
        if "<" in shown or ">" in shown:
            raise Wrong(f"{name}: {shown!r} still contains < or >: {why}")
        missing = [word for word in words if word not in shown]
        if missing:
            raise Wrong(f"{name}: {shown!r} lacks {missing}: {why}")
        if "steal" in shown and "&lt;" not in html and "scr<" not in html:
            raise Wrong(f"{name}: {shown!r} shows the code: {why}")


only_the_words = Exercise(
    judge=_judge_words,
    right="parse, keep the words, escape them. Never cut out what is bad: keep what is good.",
    hints=[
        "html.parser.HTMLParser calls handle_data with the words between the tags.",
        "handle_starttag and handle_endtag tell you where a script begins and ends. At the end, "
        "pass the words to html.escape.",
    ],
    answer="""
        import html
        from html.parser import HTMLParser


        class Words(HTMLParser):
            def __init__(self):
                super().__init__()
                self.words = []
                self.silent = False

            def handle_starttag(self, tag, attributes):
                self.silent = tag in ("script", "style")

            def handle_endtag(self, tag):
                self.silent = False

            def handle_data(self, data):
                if not self.silent:
                    self.words.append(data)


        def only_words(markup):
            parser = Words()
            parser.feed(markup)
            parser.close()
            return html.escape(" ".join(parser.words))
    """,
    explanation="The screen pop adds more defenses: an allowlist of tags without attributes, a "
    "frame without permissions, and a header that forbids loading anything.",
    mistakes=[
        """
        def only_words(text):
            return text
        """,
        """
        import re


        def only_words(text):
            return re.sub(r"<[^>]*>", "", text)
        """,
        """
        import html


        def only_words(text):
            return html.escape(text.replace("<script>", ""))
        """,
        """
        def only_words(text):
            return ""
        """,
        """
        import html
        import re


        def only_words(text):
            text = re.sub(r"(?is)<(script|style).*?</\\1\\s*>", "", text)
            return html.unescape(re.sub(r"<[^>]*>?", "", text))
        """,
    ],
)
