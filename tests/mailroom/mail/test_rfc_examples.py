"""The examples of the RFCs are read as the RFCs say: 5322 (appendix A), 2047, 2231, 3676, 6532."""

from __future__ import annotations

import pytest

from eventlab.mailroom.mail.flowed import unflowed
from eventlab.mailroom.mail.header import words
from eventlab.mailroom.mail.message import Address, Message
from eventlab.mailroom.mail.mime import parse
from tests.support.mail import multipart, read

HELLO = 'This is a message just to say hello.\nSo, "Hello".'


def example(lines: str) -> Message:
    return read(lines.replace("\n", "\r\n").encode())


def pairs(found: tuple[Address, ...]) -> list[tuple[str, str]]:
    return [(one.name, one.address) for one in found]


# ----------------------------------------------------------------------------- RFC 5322, appendix A


def test_rfc_5322_a_1_1_has_one_author_and_a_sender() -> None:
    mail = example(f"""From: John Doe <jdoe@machine.example>
Sender: Michael Jones <mjones@machine.example>
To: Mary Smith <mary@example.net>
Subject: Saying Hello
Date: Fri, 21 Nov 1997 09:55:06 -0600
Message-ID: <1234@local.machine.example>

{HELLO}
""")
    assert mail.sender == Address("John Doe", "jdoe@machine.example")
    assert pairs(mail.to) == [("Mary Smith", "mary@example.net")]
    assert (mail.subject, mail.message_id) == ("Saying Hello", "<1234@local.machine.example>")
    assert mail.text == HELLO


def test_rfc_5322_a_1_2_has_different_types_of_mailboxes() -> None:
    mail = example("""From: "Joe Q. Public" <john.q.public@example.com>
To: Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>
Cc: <boss@nil.test>, "Giant; \\"Big\\" Box" <sysservices@example.net>
Date: Tue, 1 Jul 2003 10:52:37 +0200
Message-ID: <5678.21-Nov-1997@example.com>

Hi everyone.
""")
    assert mail.sender == Address("Joe Q. Public", "john.q.public@example.com")
    assert pairs(mail.to) == [
        ("Mary Smith", "mary@x.test"),
        ("", "jdoe@example.org"),
        ("Who?", "one@y.test"),
    ]
    assert pairs(mail.cc) == [
        ("", "boss@nil.test"),
        ('Giant; "Big" Box', "sysservices@example.net"),
    ]


def test_rfc_5322_a_1_3_has_group_addresses() -> None:
    mail = example("""From: Pete <pete@silly.example>
To: A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;
Cc: Undisclosed recipients:;
Date: Thu, 13 Feb 1969 23:32:54 -0330
Message-ID: <testabcd.1234@silly.example>

Testing.
""")
    assert pairs(mail.to) == [
        ("Ed Jones", "c@a.test"),
        ("", "joe@where.test"),
        ("John", "jdoe@one.test"),
    ]
    assert mail.cc == ()


def test_rfc_5322_a_2_is_a_reply_to_a_reply() -> None:
    mail = example("""To: "Mary Smith: Personal Account" <smith@home.example>
From: John Doe <jdoe@machine.example>
Subject: Re: Saying Hello
Date: Fri, 21 Nov 1997 11:00:00 -0600
Message-ID: <abcd.1234@local.machine.test>
In-Reply-To: <3456@example.net>
References: <1234@local.machine.example> <3456@example.net>

This is a reply to your reply.
""")
    assert pairs(mail.to) == [("Mary Smith: Personal Account", "smith@home.example")]
    assert mail.in_reply_to == ("<3456@example.net>",)
    assert mail.references == ("<1234@local.machine.example>", "<3456@example.net>")


def test_rfc_5322_a_3_and_a_4_is_resent_and_traced() -> None:
    mail = example("""Received: from x.y.test
  by example.net
  via TCP
  with ESMTP
  id ABC12345
  for <mary@example.net>;  21 Nov 1997 10:05:43 -0600
Resent-From: Mary Smith <mary@example.net>
Resent-To: Jane Brown <j-brown@other.example>
Resent-Message-ID: <78910@example.net>
From: John Doe <jdoe@node.example>
To: Mary Smith <mary@example.net>
Subject: Saying Hello
Message-ID: <1234@local.node.example>

Hello.
""")
    assert mail.sender == Address("John Doe", "jdoe@node.example")
    assert (mail.message_id, mail.text) == ("<1234@local.node.example>", "Hello.")


def test_rfc_5322_a_5_has_white_space_and_comments() -> None:
    mail = example("""From: Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>
To:A Group(Some people)
     :Chris Jones <c@(Chris's host.)public.example>,
         joe@example.org,
  John <jdoe@one.test> (my dear friend); (the end of the group)
Cc:(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;
Date: Thu,
      13
        Feb
          1969
      23:32
               -0330 (Newfoundland Time)
Message-ID:              <testabcd.1234@silly.test>

Testing.
""")
    assert mail.sender == Address("Pete", "pete@silly.test")
    assert pairs(mail.to) == [
        ("Chris Jones", "c@public.example"),
        ("", "joe@example.org"),
        ("John", "jdoe@one.test"),
    ]
    assert (mail.cc, mail.message_id) == ((), "<testabcd.1234@silly.test>")
    assert mail.text == "Testing."


def test_rfc_5322_a_6_1_has_obsolete_addressing() -> None:
    mail = example("""From: Joe Q. Public <john.q.public@example.com>
To: Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example
Date: Tue, 1 Jul 2003 10:52:37 +0200
Message-ID: <5678.21-Nov-1997@example.com>

Hi everyone.
""")
    assert mail.sender == Address("Joe Q. Public", "john.q.public@example.com")
    assert pairs(mail.to) == [("Mary Smith", "mary@example.net"), ("", "jdoe@test.example")]


def test_rfc_5322_a_6_2_has_an_obsolete_date_which_ends_nothing() -> None:
    mail = example("""From: John Doe <jdoe@machine.example>
To: Mary Smith <mary@example.net>
Subject: Saying Hello
Date: 21 Nov 97 09:55:06 GMT
Message-ID: <1234@local.machine.example>

This is a message just to say hello.
So, "Hello".
""")
    # The date of a work item is Gmail's, which no sender can choose: this one is not read.
    assert mail.date.year != 1997
    assert mail.sender == Address("John Doe", "jdoe@machine.example")
    assert pairs(mail.to) == [("Mary Smith", "mary@example.net")]
    assert (mail.subject, mail.message_id) == ("Saying Hello", "<1234@local.machine.example>")
    assert mail.text == HELLO


def test_rfc_5322_a_6_3_has_obsolete_white_space_and_comments() -> None:
    mail = example(f"""From  : John Doe <jdoe@machine(comment).  example>
To    : Mary Smith
  \n          <mary@example.net>
Subject     : Saying Hello
Date  : Fri, 21 Nov 1997 09(comment):   55  :  06 -0600
Message-ID  : <1234   @   local(blah)  .machine .example>

{HELLO}
""")
    assert mail.sender == Address("John Doe", "jdoe@machine.example")
    assert pairs(mail.to) == [("Mary Smith", "mary@example.net")]
    assert (mail.subject, mail.message_id) == ("Saying Hello", "<1234@local.machine.example>")
    assert mail.text == HELLO


# -------------------------------------------------------------------------------------- RFC 2047, 8


@pytest.mark.parametrize(
    ("encoded", "shown"),
    [
        ("=?ISO-8859-1?Q?a?=", "a"),
        ("=?ISO-8859-1?Q?a?= b", "a b"),
        ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a?=\r\n     =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a_b?=", "a b"),
        ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        (
            "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\r\n"
            "    =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
            "If you can read this you understand the example.",
        ),
    ],
)
def test_rfc_2047_encoded_words_are_shown_as_the_rfc_shows_them(encoded: str, shown: str) -> None:
    assert words(encoded.encode()) == shown


def test_rfc_2047_names_are_decoded() -> None:
    mail = example("""From: =?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>
To: =?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?= <keld@dkuug.dk>
CC: =?ISO-8859-1?Q?Andr=E9?= Pirard <PIRARD@vm1.ulg.ac.be>,
 Nathaniel Borenstein <nsb@thumper.bellcore.com>
   (=?iso-8859-8?b?7eXs+SDv4SDs6Oj08A==?=)

""")
    assert mail.sender == Address("Keith Moore", "moore@cs.utk.edu")
    assert pairs(mail.to) == [("Keld Jørn Simonsen", "keld@dkuug.dk")]
    assert pairs(mail.cc) == [
        ("André Pirard", "PIRARD@vm1.ulg.ac.be"),
        ("Nathaniel Borenstein", "nsb@thumper.bellcore.com"),
    ]


# ----------------------------------------------------------------------------------------- RFC 2231


@pytest.mark.parametrize(
    ("parameters", "name", "value"),
    [
        (
            'URL*0="ftp://";\r\n URL*1="cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar"',
            "url",
            "ftp://cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar",
        ),
        (
            "title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A",
            "title",
            "This is ***fun***",
        ),
        (
            "title*0*=us-ascii'en'This%20is%20even%20more%20;\r\n"
            ' title*1*=%2A%2A%2Afun%2A%2A%2A%20;\r\n title*2="isn\'t it!"',
            "title",
            "This is even more ***fun*** isn't it!",
        ),
    ],
)
def test_rfc_2231_parameters_are_joined_and_decoded(parameters: str, name: str, value: str) -> None:
    part = parse(f"Content-Type: application/x-stuff;\r\n {parameters}\r\n\r\n".encode())
    assert part.parameter(name) == value


def test_rfc_2231_encoded_words_may_name_a_language() -> None:
    assert words(b"=?US-ASCII*EN?Q?Keith_Moore?=") == "Keith Moore"


# ----------------------------------------------------------------------------------------- RFC 3676


def test_rfc_3676_quotes_of_different_depths_are_paragraphs() -> None:
    text = """> Thou villainous ill-breeding spongy dizzy-eyed\x20
> reeky elf-skinned pigeon-egg!\x20
>> Thou artless swag-bellied milk-livered\x20
>> dismal-dreaming idle-headed scut!
>>> Thou errant folly-fallen spleeny reeling-ripe\x20
>>> unmuzzled ratsbane!
>>>>>> Any complaints?"""
    assert (
        unflowed(text)
        == """> Thou villainous ill-breeding spongy dizzy-eyed reeky elf-skinned pigeon-egg!
>> Thou artless swag-bellied milk-livered dismal-dreaming idle-headed scut!
>>> Thou errant folly-fallen spleeny reeling-ripe unmuzzled ratsbane!
>>>>>> Any complaints?"""
    )


def test_rfc_3676_paragraphs_are_joined_and_space_stuffing_is_removed() -> None:
    text = """`Take some more tea,' the March Hare said to Alice,\x20
very earnestly.

 From there `I've had nothing yet,' Alice replied in an\x20
offended tone, `so I can't take more.'"""
    assert (
        unflowed(text)
        == """`Take some more tea,' the March Hare said to Alice, very earnestly.

From there `I've had nothing yet,' Alice replied in an offended tone, `so I can't take more.'"""
    )


# ----------------------------------------------------------------------------------------- RFC 6532


def test_rfc_6532_headers_are_utf_8() -> None:
    mail = example("""From: Jørgen <jørgen@blåbær.example>
To: संपर्क <संपर्क@डाटामेल.भारत>, "J. ø" <"j ø"@example.org>
Subject: Blåbær 蓝莓
Message-ID: <blåbær@example.org>
X-Grüße: hello

på gensyn
""")
    assert mail.sender == Address("Jørgen", "jørgen@blåbær.example")
    assert [one.valid for one in (mail.sender, *mail.to)] == [True, True, True]
    assert (mail.subject, mail.message_id) == ("Blåbær 蓝莓", "<blåbær@example.org>")
    assert mail.text == "på gensyn"


def test_rfc_6532_message_global_is_a_mail() -> None:
    inner = "Content-Type: message/global\r\n\r\nSubject: Blåbær\r\n\r\npå gensyn".encode()
    text = read(multipart("mixed", inner)).text
    assert text == "---------- Forwarded message ----------\nSubject: Blåbær\n\npå gensyn"
