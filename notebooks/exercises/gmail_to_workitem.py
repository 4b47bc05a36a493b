"""The exercises of 07_gmail_to_workitem."""

from __future__ import annotations

from collections.abc import Callable

from eventlab.lessons.exercise import Exercise, Wrong

FATES = {"done", "again", "refused", "doubt"}


def _judge_fates(fates: dict[str, str]) -> None:
    if not isinstance(fates, dict) or set(fates) != set("abcdef"):
        raise Wrong('give a dict with the six letters: {"a": ..., "b": ..., and so on to "f"}.')
    if not set(fates.values()) <= FATES:
        raise Wrong('each answer is one of "done", "again", "refused" and "doubt".')
    if fates["a"] != "done":
        raise Wrong(
            "a: 202 says that it is taken. The id would be nice to have; that it is missing takes nothing back."
        )
    if fates["b"] == "doubt":
        raise Wrong(
            "b: without a connection not one byte of it has left. There is nothing to doubt."
        )
    if fates["b"] != "again":
        raise Wrong(
            "b: nothing was sent, and nothing was refused: the next time there may be a connection."
        )
    if fates["c"] == "again":
        raise Wrong(
            "c: a server may stumble after it has taken it, too. Send it again, and two agents may have it."
        )
    if fates["c"] != "doubt":
        raise Wrong("c: 500 says that something went wrong there. Does it say when?")
    if fates["d"] != "again":
        raise Wrong("d: 429 means: too busy to look at it. That is certain, and it will pass.")
    if fates["e"] == "again":
        raise Wrong("e: the request itself is wrong. The tenth time it is as wrong as the first.")
    if fates["e"] != "refused":
        raise Wrong("e: it looked at the request, and said no. That is known.")
    if fates["f"] == "again":
        raise Wrong(
            "f: no answer in time may be a late answer. Perhaps an agent is reading it just now."
        )
    if fates["f"] != "doubt":
        raise Wrong("f: neither yes nor no was said. Who would claim to know?")


what_is_known = Exercise(
    judge=_judge_fates,
    right="what was said is known, what was not sent is known; for all between the two a person is needed.",
    hints=[
        "ask of each: may a work item be there? must one be there?",
        "where it may be and need not be: that is doubt.",
    ],
    answer="""
        fates = {"a": "done", "b": "again", "c": "doubt", "d": "again", "e": "refused", "f": "doubt"}
    """,
    explanation="429 and no connection are certain; 500 and silence are not. That is all one has to remember.",
    mistakes=[
        """
        fates = {"a": "doubt", "b": "again", "c": "doubt", "d": "again", "e": "refused", "f": "doubt"}
        """,
        """
        fates = {"a": "done", "b": "doubt", "c": "doubt", "d": "again", "e": "refused", "f": "doubt"}
        """,
        """
        fates = {"a": "done", "b": "again", "c": "again", "d": "again", "e": "refused", "f": "again"}
        """,
        """
        fates = {"a": "done", "b": "again", "c": "doubt", "d": "doubt", "e": "refused", "f": "doubt"}
        """,
        """
        fates = {"a": "done", "b": "again", "c": "doubt", "d": "again", "e": "again", "f": "doubt"}
        """,
        """
        fates = {"a": "done", "b": "again", "c": "doubt", "d": "again", "e": "refused", "f": "again"}
        """,
    ],
)

_SENDERS = {
    "joe@example.com": ("joe@example.com", "an address may stand alone."),
    "Joe Doe <joe@example.com>": ("joe@example.com", "the address is between the angle brackets."),
    '"Doe, Joe" <joe+tag@example.com>': (
        "joe+tag@example.com",
        "a plus is a letter like others: without what is before it, that is another mailbox.",
    ),
    '"joe@example.com via Shop" <shop@example.org>': (
        "shop@example.org",
        "what is in quotes is a name, whatever it looks like; whoever believes it answers to a stranger.",
    ),
    '"Doe, Joe" <joe@example.com>, Ann <ann@example.org>': (
        "joe@example.com",
        "a comma in quotes divides nothing, and the first person counts.",
    ),
    '"joe doe"@example.com': (
        '"joe doe"@example.com',
        "a quoted local part is part of the address.",
    ),
    "ann@example.org (not joe@example.com)": (
        "ann@example.org",
        "what is in brackets is a remark.",
    ),
    "The Shop": ("", "no address is in it: then there is none to give."),
}


def _judge_sender(sender: Callable[[str], str]) -> None:
    for header, (expected, why) in _SENDERS.items():
        try:
            found = sender(header)
        except Exception as error:
            raise Wrong(
                f"{header!r} raised {type(error).__name__}: one mail must not stop the others."
            ) from error
        if found != expected:
            raise Wrong(f"{header!r} gives {found!r}, expected {expected!r}: {why}")


the_senders_address = Exercise(
    judge=_judge_sender,
    right="an address has a grammar. A parser knows it; a regular expression guesses.",
    hints=[
        "the standard library has read mail headers for thirty years: look into email.utils.",
        "parseaddr gives a pair: the name, the address. For what is no address look if there is an @ in it.",
    ],
    answer="""
        from email.utils import getaddresses


        def sender(header):
            found = [address for _, address in getaddresses([header]) if "@" in address]
            return found[0] if found else ""
    """,
    explanation="The parser takes the header apart as its grammar says: names, remarks, quotes, and then addresses. "
    "(The bridge's own parser also reads raw bytes, encoded words and groups.)",
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


class _Killed(BaseException):
    """Not an Exception: a process that is killed catches nothing."""


class _World:
    """CXone, and a process that is killed at the n-th post: before it was taken, or after."""

    def __init__(self, kill_at: int, after: bool) -> None:
        self.kill_at, self.after = kill_at, after
        self.posts = 0
        self.taken: list[str] = []

    def post(self, id: str) -> None:
        self.posts += 1
        if self.posts == self.kill_at and not self.after:
            raise _Killed
        self.taken.append(id)
        if self.posts == self.kill_at:
            raise _Killed


def _judge_bridge(
    bridge: Callable[[list[str], list[object], Callable[[str], None]], list[str]],
) -> None:
    ids = ["a", "b", "c"]
    quiet, log = _World(0, after=False), list[object]()
    held = bridge(ids, log, quiet.post)
    if quiet.taken != ids:
        raise Wrong(f"nothing goes wrong, and of {ids} CXone has {quiet.taken}.")
    if list(held or ()) != []:
        raise Wrong(f"nothing went wrong, and a person is to look at {held}: give an empty list.")
    bridge(ids, log, quiet.post)
    if quiet.taken != ids:
        raise Wrong(
            f"called again with the same log, without a fault, CXone has {quiet.taken}: no memory, no bridge."
        )
    for after in (True, False):
        world, log = _World(2, after), list[object]()
        try:
            bridge(ids, log, world.post)
            caught = world.posts >= 2
        except _Killed:
            caught = False
        if caught:
            raise Wrong(
                "you caught the SIGKILL. In earnest nobody can: no line of yours runs after it."
            )
        held = list(bridge(ids, log, world.post) or ())
        when = (
            "after CXone had taken it, before you could note that"
            if after
            else "before CXone had taken it"
        )
        doubled = [id for id in ids if world.taken.count(id) > 1]
        if doubled:
            raise Wrong(
                f"killed {when}: {doubled} went out twice. What did your log say before the post?"
            )
        if not after and "b" in world.taken:
            raise Wrong(
                "killed before it was taken: you sent it again. How could you know that it was not there?"
            )
        if "b" not in held:
            raise Wrong(
                f"killed {when}: no one is told of 'b'. Held are {held}; what is not known must be said."
            )
        if held != ["b"]:
            raise Wrong(f"killed {when}: a person is to look at {held}, and only 'b' is in doubt.")
        if "c" not in world.taken:
            raise Wrong("'c' was never sent: one mail in doubt must not stop the others.")


a_bridge_with_a_memory = Exercise(
    judge=_judge_bridge,
    right="intent, post, outcome, in this order. What has an intent and no outcome is in doubt, and a person's.",
    hints=[
        "two notes for each mail: one before the post, one after it.",
        "on the next start: both notes are there, done. None: send it. Only the first: do not send it, and say so.",
    ],
    answer="""
        def bridge(ids, log, post):
            for id in ids:
                if ("sending", id) not in log:
                    log.append(("sending", id))
                    post(id)
                    log.append(("sent", id))
            return [id for id in ids if ("sent", id) not in log]
    """,
    explanation="The note before the post makes it at most once; the one after it tells done from in doubt. "
    "(The router's intent also has a deadline, so that two of them can run.)",
    mistakes=[
        """
        def bridge(ids, log, post):
            for id in ids:
                post(id)
            return []
        """,
        """
        def bridge(ids, log, post):
            for id in ids:
                if id not in log:
                    post(id)
                    log.append(id)
            return []
        """,
        """
        def bridge(ids, log, post):
            for id in ids:
                if id not in log:
                    log.append(id)
                    post(id)
            return []
        """,
        """
        def bridge(ids, log, post):
            for id in ids:
                if id not in log:
                    log.append(id)
                    try:
                        post(id)
                    except BaseException:
                        return [id]
            return []
        """,
        """
        def bridge(ids, log, post):
            if log:
                return [id for id in ids if ("sending", id) in log and ("sent", id) not in log]
            for id in ids:
                log.append(("sending", id))
                post(id)
                log.append(("sent", id))
            return []
        """,
    ],
)
