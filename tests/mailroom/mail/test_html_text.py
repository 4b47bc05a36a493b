"""HTML as text: what an agent must see of a mail, and nothing that only a trick would show."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlab.mailroom.mail.html_lines import PICTURES_ONLY
from eventlab.mailroom.mail.html_text import (
    LEFT_OUT,
    LEFT_OUT_HERE,
    MAX_HTML,
    MAX_SLIM_HTML,
    MAX_TAGS,
    text_of,
    without_filler,
)
from tests.support.examples import examples

MEGABYTES = 5_000_000


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("Hi<b>there</b>", "Hithere"),
        ("<p>a<p>b<br>c", "a\n\nb\nc"),
        ("<div>a</div><div>b</div>", "a\nb"),
        ("<span style='display:block'>a</span><span style='display:block'>b</span>", "a\nb"),
        ("a&nbsp;b &lt;c&gt; &amp; &#8364;", "a b <c> & €"),
        ("3 < 4 and 5 > 4", "3 < 4 and 5 > 4"),
        ("write to <joe@example.com>", "write to <joe@example.com>"),
        ("a<script>no()</script><style>no</style><title>no</title>b", "a b"),
        ("a<script>no", "a"),
        ("<p style='margin:9999999em'>a", "a"),
        ("<?xml version='1.0' encoding='hex'?><meta charset=hex>a", "a"),
        ("a<hr>b", "a\n----------\nb"),
        ("\x00a\x00", "a"),
        ("a\ud800", "a\ufffd"),
        ("a \u202eb\u2066c", "a bc"),
        ("", ""),
        ("<>", "<>"),
        ("   ", ""),
        ("<html></html>", ""),
        ("<div>" * 500 + "a<p>b", "a\n\nb"),
        ("<div>" * 5000 + "a<p>b", "a\nb"),
    ],
)
def test_text_of_converts_html_to_text(markup: str, text: str) -> None:
    assert text_of(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("AB<!-- -->-<!-- -->12", "AB-12"),
        ("$<!-- -->12 and <!---->4<!--> 5", "$12 and 4 5"),
        ("<!--[if mso]>no<![endif]-->a<![if !mso]>b<![endif]>", "ab"),
        ("a<!-- > --!>b<!-- never ends <p>c", "ab"),
        ("<<!-- -->script>x</script>", "<script>x"),
    ],
)
def test_text_of_reads_a_comment_as_nothing(markup: str, text: str) -> None:
    assert text_of(markup) == text


OUTLOOK_TABLE = """
<table class=MsoTable border=1><tr style='height:1pt'>
 <td width=99><p class=MsoNormal><b>Item<o:p></o:p></b></p></td>
 <td><p class=MsoNormal>Quantity<o:p></o:p></p></td><td><p>Price</p></td></tr>
<tr><td><p class=MsoNormal>Lamp<br>No. 12-B</p></td><td><p>2</p></td><td><p>19.90</p></td></tr>
<tr><td><p>Total</p></td><td><p>&nbsp;</p></td><td><p>39.80</p></td></tr></table>after"""


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        (
            "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>",
            "a  b\nc",
        ),
        (
            OUTLOOK_TABLE,
            "Item  Quantity  Price\nLamp / No. 12-B  2  19.90\nTotal  39.80\nafter",
        ),
        (
            "<table><tr><td><table><tr><th>a<td>b<tr><td>c<td>d</table><p>e</p><p>f</p></table>",
            "a  b\nc  d\n\ne\n\nf",
        ),
        (
            f"<table><tr><td><p>{'left ' * 90}</p><p>more</p><td>right</table>",
            f"{('left ' * 90).strip()}\nmore\nright",
        ),
        ("<td>a</td><td>b</td>", "a\nb"),
        ("<table><tr>" * 200 + "<td>a<td><p>b", "a  b"),
    ],
)
def test_text_of_shows_a_row_of_a_table_on_a_line(markup: str, text: str) -> None:
    assert text_of(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        (
            "<a href='https://shop.example.com/order/7'>Open your order</a>.",
            "Open your order (https://shop.example.com/order/7).",
        ),
        ("<a href=https://a.example.com/>a.example.com</a>", "a.example.com"),
        ("<a href=https://a.example.com/x>https://www.a.example.com/x</a>",) * 2,
        ("<a href='mailto:ann@example.com?subject=x'>Ann</a>", "Ann (ann@example.com)"),
        ("<a href='mailto:ann@example.com'>ann@example.com</a>", "ann@example.com"),
        ("<a href='tel:+49123'>Call</a> <a href=tel:+491>+49 (1)</a>", "Call (+49123) +49 (1)"),
        (
            "<a href='https://a.example.com/?b=1&amp;c=2'>x</a>",
            "x (https://a.example.com/?b=1&c=2)",
        ),
        ("<a href=https://a.example.com><div>Read</div><div>more</div></a>end",) * 2,
        ("a<a href=https://a.example.com><img src=x></a>", "a [image] (https://a.example.com)"),
        ("<a href=https://a.example.com></a>a<a>b</a><a href='#c'>c</a><a href=d>d</a>", "abcd"),
        (
            "<a href='https://evil.example.net/'>https://bank.example.com</a>",
            "https://bank.example.com (https://evil.example.net/)",
        ),
        ("<a href='&#9;https://a.exam&#10;ple.com/'>x</a>", "x (https://a.example.com/)"),
        ("<a href='javascript:alert(1)'>x</a>", "x"),
        ("<a href='java&#10;script:alert(1)'>x</a>", "x"),
        ("<a href='&#1;javascript:alert(1)'>x</a><a href='DATA:text/html,x'>y</a>", "xy"),
        ("<a href='vbscript:x'>x</a><a href=file:///etc/passwd>y</a>", "xy"),
        (
            "<a href='https://a.example.com/\u202e\u200bgpj.exe\" x'>x</a>",
            "x (https://a.example.com/%E2%80%AE%E2%80%8Bgpj.exe%22%20x)",
        ),
        ("<a href='https://[x'>x</a>", "x (https://[x)"),
        ("<a href='mailto:a%0d%0aBcc:x@example.com'>x</a>", "x (a Bcc:x@example.com)"),
    ],
)
def test_text_of_shows_where_a_link_leads(markup: str, text: str) -> None:
    if markup == text:
        text = {
            "https://www": "https://www.a.example.com/x",
            "div>Read</d": "Read\nmore (https://a.example.com)\nend",
        }[next(key for key in ("https://www", "div>Read</d") if key in markup)]
    assert text_of(markup) == text


@pytest.mark.parametrize(
    ("href", "shown"),
    [
        (
            "https://a.example.com/x?utm_source=m&id=7&utm_medium=e#y",
            "https://a.example.com/x?id=7#y",
        ),
        ("https://a.example.com/?fbclid=abc", "https://a.example.com/"),
        ("https://a.example.com/?utm=1&q=utm_x", "https://a.example.com/?utm=1&q=utm_x"),
        (f"https://a.example.com/{'x' * 5000}", f"https://a.example.com/{'x' * 78}… (cut)"),
        (
            "https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fa.example.com%2Fx"
            "%3Futm_source%3Dm&data=05%7C02&reserved=0",
            "https://a.example.com/x, through eur01.safelinks.protection.outlook.com",
        ),
        (
            "https://www.google.com/url?q=https://a.example.com/x&sa=D",
            "https://a.example.com/x, through www.google.com",
        ),
        (
            "https://safelinks.protection.outlook.com.evil.example.net/?url=https://a.example.com",
            "https://safelinks.protection.outlook.com.evil.example.net/?url=https://a.example.com",
        ),
        (
            "https://www.google.com/url?q=javascript:alert(1)",
            "https://www.google.com/url?q=javascript:alert(1)",
        ),
    ],
)
def test_text_of_shortens_what_only_a_tracker_needs(href: str, shown: str) -> None:
    assert text_of(f'<a href="{href}">x</a>') == f"x ({shown})"


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("see <img src=x alt='the \n part'> here", "see [image: the part] here"),
        ("Hi <img alt='😀' src=x>, thanks <img alt='❤️'>", "Hi 😀, thanks ❤️"),
        ("a<img src=x>b<img src=x width=1 height=1 alt=spy>", "ab"),
        ("a <img alt='>' src=x>b", "a [image: >] b"),
        (f"a <img alt='{'x' * 999}'>", f"a [image: {'x' * 200}]"),
        ("a <img alt='&lt;script&gt;\n\nFrom: b'>", "a [image: <script> From: b]"),
    ],
)
def test_text_of_shows_the_texts_of_pictures(markup: str, text: str) -> None:
    assert text_of(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<img src=x>", PICTURES_ONLY),
        ("<center><img src=x alt=''><br>&nbsp;<img src=y></center>", PICTURES_ONLY),
        (
            "<a href=https://a.example.com/sale><img alt='Big sale'></a><img src=y>",
            f"{PICTURES_ONLY}\n\n[image: Big sale] (https://a.example.com/sale)",
        ),
        ("<div style='display:none'>preheader</div><img src=x>", PICTURES_ONLY),
        ("<img width=1 src=spy>", ""),
        ("<img alt='👍'>", "👍"),
    ],
)
def test_text_of_reports_a_mail_of_pictures(markup: str, text: str) -> None:
    assert text_of(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("new<blockquote>old<br>older</blockquote>", "new\n\n> old\n> older"),
        (
            "new<div class=gmail_quote><div class=gmail_attr>On Monday Ann wrote:<br></div>"
            "<blockquote class=gmail_quote style='border-left:1px solid #ccc'><p>a<p>b"
            "<blockquote type=cite>c</blockquote></blockquote></div>below",
            "new\nOn Monday Ann wrote:\n\n> a\n>\n> b\n>\n> > c\n\nbelow",
        ),
        ("a<blockquote style='margin:0 0 0 40px;border:none'>b</blockquote>", "a\n\nb"),
        ("<blockquote type=cite style='border:none'>b</blockquote>", "> b"),
        ("<blockquote></blockquote>a", "a"),
        ("<blockquote>" * 300 + "a", "> " * 10 + "a"),
    ],
)
def test_text_of_marks_quotes(markup: str, text: str) -> None:
    assert text_of(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<ol><li>a<li>b</ol>", "  1. a\n  2. b"),
        (
            "<ol start=3><li>a</ol>x<ol start=4><li>b<li value=9>c<li>d</ol>",
            "  3. a\nx\n  4. b\n  9. c\n  10. d",
        ),
        (
            "<ol type=a start=26><li>x<li>y<ol type=I start=4><li>z</ol></ol>",
            "  z. x\n  aa. y\n        IV. z",
        ),
        ("<ol reversed><li>a<li>b</ol><ol start=0><li>c</ol>", "  2. a\n  1. b\n  0. c"),
        ("<ul><li>a<br>b<ul><li>c</ul><li></ul>", "  * a\n    b\n      * c"),
        (
            "<ol start=99999999999999><li value=x>a</ol><ol type='&#7;'><li>b</ol><li>c",
            "  1. a\n  1. b\n  * c",
        ),
        ("<ol start=-5 type=i><li>a</ol>", "  -5. a"),
        ("<ul><li>a</li><ul><li>b</li></ul><li>c</ul>", "  * a\n      * b\n  * c"),
        ("<ul>" * 100 + "<li>a", " " * 20 + "a"),
    ],
)
def test_text_of_numbers_lists_as_sent(markup: str, text: str) -> None:
    assert text_of(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("Price: <s>20</s> <b>15</b>", "Price: ~~20~~ 15"),
        ("<del>a <i>b</i></del><strike>c</strike><section>d</section>", "~~a b~~~~c~~\nd"),
        ("<div style='display:none'><s>a</s></div>b<s>never ends", "b~~never ends~~"),
    ],
)
def test_text_of_marks_what_is_struck_out(markup: str, text: str) -> None:
    assert text_of(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<pre>a\n  b</pre>", "a\n  b"),
        (
            "<div style='white-space: pre-wrap'>Name: a\n\n  Mail: b</div>c  d",
            "Name: a\n\n  Mail: b\nc d",
        ),
        (
            "<p style='white-space:pre'>a\nb <span style='white-space:normal'>c\nd</span></p>",
            "a\nb c d",
        ),
        ("<pre>\n\n\n\n\ta" + "\n" * 50 + "b</pre>", "    a\n\nb"),
    ],
)
def test_text_of_keeps_lines_as_typed(markup: str, text: str) -> None:
    assert text_of(markup) == text


@pytest.mark.parametrize(
    "style",
    [
        "display:none",
        "display: NONE !important",
        "font-size:0",
        "font-size:0px;line-height:0",
        "font:0/0 a",
        "max-height:0",
        "max-height:0px;overflow:hidden",
        "height:0;overflow:hidden",
        "opacity:0",
        "opacity: 0.0",
        "visibility:hidden",
        "mso-hide:all",
        "color:#fff;mso-hide:all;display:none;font-size:1px",
    ],
)
@pytest.mark.parametrize("tag", ["div", "span", "p"])
def test_text_of_drops_a_hidden_preheader(style: str, tag: str) -> None:
    markup = f"<{tag} style='{style}'>secret <b>words</b></{tag}><p>Hello"
    assert text_of(markup) == "Hello"


def test_text_of_drops_what_is_hidden_by_an_attribute() -> None:
    assert text_of("<p hidden>a<p>b") == "b"
    assert text_of("<p data-hidden=x>a<p title=hidden>b") == "a\n\nb"


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<td style='font-size:0'><span style='font-size:12px'>shown</span>not", "shown"),
        ("<p style='font-size:0.8em;opacity:0.5;max-height:10px'>shown", "shown"),
        (
            "a<a style='mso-hide:all' href=https://a.example.com>Buy</a>",
            "aBuy (https://a.example.com)",
        ),
        ("<p>a<p style='mso-hide:all'>words for all but Outlook", "a\n\nwords for all but Outlook"),
        (
            # With other words: what is hidden is shown if there is nothing else.
            "<a style='mso-hide:all' href=https://a.example.com>Buy</a> now",
            "Buy (https://a.example.com) now",
        ),
        (
            "<p style='mso-hide:all'><a href=https://a.example.com>Buy</a></p>now",
            "Buy (https://a.example.com)\n\nnow",
        ),
        ("<p style='background:url(x;display:nonesuch)'>shown", "shown"),
        ("<p style='max-height:0;position:relative'>over a picture", "over a picture"),
        # Better too much than nothing.
        ("<div style='display:none'><p>all of it</div>", "all of it"),
        ("<p style='display:none'>a<div>b", "b"),
    ],
)
def test_text_of_keeps_what_only_looks_hidden(markup: str, text: str) -> None:
    assert text_of(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("Sale!" + "&#847; &zwnj; &nbsp; " * 90 + "<p>Hello", "Sale!\n\nHello"),
        ("a" + "&#8203;&#8199;&shy;&#65279;" * 30 + "b wait&shy;ing", "a b waiting"),
        ("👩‍👩‍👧 می‌خواهم", "👩‍👩‍👧 می‌خواهم"),
        ("a\u034f" + "\u00a0" * 100 + "b", "a\u034f" + " " * 100 + "b"),
    ],
)
def test_text_of_drops_filler(markup: str, text: str) -> None:
    assert text_of(markup) == text


def test_text_of_keeps_the_words_in_many_tags() -> None:
    text = text_of("<p>one <b>two</b></p>" * MAX_TAGS + "<td>end</td><td>of it</td>")
    assert text.startswith("one two\none two\n")
    assert text.endswith("end of it")


def test_text_of_marks_html_that_it_cuts_and_keeps_its_end() -> None:
    assert text_of("word " * (MAX_HTML // 5 - 9)).count("[") == 1
    text = text_of(
        "<blockquote>" + "<p>old</p>" * MAX_HTML + "</blockquote><p>My answer: <b>no</b>"
    )
    assert LEFT_OUT_HERE in text
    assert text.endswith("old\nMy answer: no")
    assert text_of(f"a<!--{'x' * MAX_HTML}") == f"a\n\n{LEFT_OUT}"
    assert text_of("<a href=x>" + "&amp;" * MAX_SLIM_HTML).startswith("&&")


@pytest.mark.parametrize(
    "piece",
    [
        *("<div>", "<table><tr><td>", "<td>x", "<blockquote>x<br>", "<ol><li>x", "<p hidden>x</p>"),
        *("<", "<!--", "<a '", "<script>", "&#847;", "&nbsp;", "\u034f" + "\xa0" * 999, "<br>\n"),
        "<a href='https://a.example.com/?utm_source=x'>x</a>",
        "<p style='" + "a:b;" * 999 + "'>x",
        "<a " + "x=" * 999 + ">",
        "<blockquote><pre>\n\n",
        "<div style='mso-hide:all'>",
        "<img alt=x>",
    ],
)
def test_text_of_hostile_html_is_bounded(piece: str) -> None:
    """It must finish: an algorithm with quadratic time takes hours for five megabytes."""
    text = text_of((piece * (MEGABYTES // len(piece) + 1))[:MEGABYTES] + "<p>the end")
    assert len(text) <= 20 * MAX_SLIM_HTML
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)


PIECES = (
    *("<p>", "</p>", "<div style='display:none'>", "</div>", "<table>", "<tr>", "<td>", "</table>"),
    *("<ol start=3 type=a>", "<li>", "</ol>", "<blockquote>", "</blockquote>", "<pre>", "</pre>"),
    *("<a href='https://a.example.com/'>", "</a>", "<img alt=x>", "<br>", "<!--", "-->", "<", ">"),
    *("&#847;", "&nbsp;", "\u202e", "word", " ", "\n", "'", '"', "<a href='javascript:x'>"),
)


@settings(max_examples=examples(500), derandomize=True, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), max_size=30))
def test_text_of_any_html_is_plain(pieces: list[str]) -> None:
    text = text_of("".join(pieces))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert "\n\n\n" not in text
    assert text == text.strip("\n").rstrip()
    assert "(javascript:" not in text


@settings(max_examples=examples(300), derandomize=True, deadline=None)
@given(
    st.lists(st.sampled_from(["<p>", "<td>", "<b>", "<li>", "<div>", "<a href=x>"]), max_size=12)
)
def test_text_of_loses_no_word(tags: list[str]) -> None:
    markup = "".join(f"{tag}w{n}x" for n, tag in enumerate(tags))
    text = text_of(markup)
    assert all(f"w{n}x" in text for n in range(len(tags)))


def test_without_filler_keeps_plain_text() -> None:
    assert without_filler("a\n\n\u200bb") == "a\n\n\u200bb"


@pytest.mark.parametrize("cut", [b'<a title="half', b"<half", b"&hal"])
def test_long_html_is_not_cut_within_a_tag_or_an_entity(cut: bytes) -> None:
    half = cut.decode()
    words = "w " * ((MAX_SLIM_HTML - len(half)) // 2)
    markup = f"<p>{words}".ljust(MAX_SLIM_HTML - len(half))[: MAX_SLIM_HTML - len(half)] + half
    shown = text_of(markup + '">x</a>;</p>' + "tail " * 100)
    assert "half" not in shown.partition("[")[0]
    assert "&hal" not in shown.partition("[")[0]
