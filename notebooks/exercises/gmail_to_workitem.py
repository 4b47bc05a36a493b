"""The exercises of 10_gmail_to_workitem."""

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
        raise Wrong("a: 202 means accepted. A missing id does not change that.")
    if fates["b"] == "doubt":
        raise Wrong("b: without a connection not one byte was sent. Nothing is in doubt.")
    if fates["b"] != "again":
        raise Wrong("b: nothing was sent, and nothing was refused: the next attempt may connect.")
    if fates["c"] == "again":
        raise Wrong(
            "c: a server may also fail after it accepted the request. Send again, and two agents "
            "may get it."
        )
    if fates["c"] != "doubt":
        raise Wrong("c: 500 says that something went wrong there. Does it say when?")
    if fates["d"] != "again":
        raise Wrong(
            "d: 429 means that the server did not process the request. That is certain, and "
            "temporary."
        )
    if fates["e"] == "again":
        raise Wrong("e: the request itself is wrong, and repeating it does not help.")
    if fates["e"] != "refused":
        raise Wrong("e: the server read the request and refused it. The outcome is known.")
    if fates["f"] == "again":
        raise Wrong(
            "f: a timeout may be a late response. An agent may already be reading the mail."
        )
    if fates["f"] != "doubt":
        raise Wrong("f: the server neither accepted nor refused. The outcome is unknown.")


what_is_known = Exercise(
    judge=_judge_fates,
    right=(
        "a response is certain, and so is a request that was never sent. Anything in between needs "
        "an operator."
    ),
    hints=[
        "for each, ask: can a work item exist? Must one exist?",
        "if one can exist but need not, the outcome is in doubt.",
    ],
    answer="""
        fates = {
            "a": "done", "b": "again", "c": "doubt",
            "d": "again", "e": "refused", "f": "doubt",
        }
    """,
    explanation=(
        "429 and no connection are certain; 500 and silence are not. That is the whole rule."
    ),
    mistakes=[
        """
        fates = {
            "a": "doubt", "b": "again", "c": "doubt",
            "d": "again", "e": "refused", "f": "doubt",
        }
        """,
        """
        fates = {
            "a": "done", "b": "doubt", "c": "doubt",
            "d": "again", "e": "refused", "f": "doubt",
        }
        """,
        """
        fates = {
            "a": "done", "b": "again", "c": "again",
            "d": "again", "e": "refused", "f": "again",
        }
        """,
        """
        fates = {
            "a": "done", "b": "again", "c": "doubt",
            "d": "doubt", "e": "refused", "f": "doubt",
        }
        """,
        """
        fates = {
            "a": "done", "b": "again", "c": "doubt",
            "d": "again", "e": "again", "f": "doubt",
        }
        """,
        """
        fates = {
            "a": "done", "b": "again", "c": "doubt",
            "d": "again", "e": "refused", "f": "again",
        }
        """,
    ],
)

_SENDERS = {
    "joe@example.com": ("joe@example.com", "an address may come without a name."),
    "Joe Doe <joe@example.com>": ("joe@example.com", "the address is between the angle brackets."),
    '"Doe, Joe" <joe+tag@example.com>': (
        "joe+tag@example.com",
        "a plus is an ordinary character: without the part before it, it is another mailbox.",
    ),
    '"joe@example.com via Shop" <shop@example.org>': (
        "shop@example.org",
        "quoted text is a name, whatever it looks like; trust it, and you reply to a stranger.",
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
                f"{header!r} raised {type(error).__name__}: one mail must not stop the others."
            ) from error
        if found != expected:
            raise Wrong(f"{header!r} returns {found!r}, expected {expected!r}: {why}")


the_senders_address = Exercise(
    judge=_judge_sender,
    right="an address has a grammar. A parser knows it; a regular expression guesses.",
    hints=[
        "the standard library parses mail headers: see email.utils.",
        "parseaddr returns a pair, name and address. Without an @ it is not an address.",
    ],
    answer="""
        from email.utils import getaddresses


        def sender(header):
            found = [address for _, address in getaddresses([header]) if "@" in address]
            return found[0] if found else ""
    """,
    explanation="The parser follows the header's grammar: names, comments, quotes, and addresses. "
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
    """Not an Exception, because a killed process catches nothing."""


class _World:
    """CXone, and a process killed at the n-th post, before or after CXone accepts it."""

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
        raise Wrong(f"without failures, CXone has {quiet.taken}, expected {ids}.")
    if list(held or ()) != []:
        raise Wrong(f"nothing failed, but you report {held} for review: return an empty list.")
    bridge(ids, log, quiet.post)
    if quiet.taken != ids:
        raise Wrong(
            f"after a second call with the same log, CXone has {quiet.taken}: the bridge must use "
            "its log."
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
                "you caught the SIGKILL. In production no code can: none of your lines runs after "
                "it."
            )
        held = list(bridge(ids, log, world.post) or ())
        when = (
            "after CXone accepted it, before you could log that"
            if after
            else "before CXone accepted it"
        )
        doubled = [id for id in ids if world.taken.count(id) > 1]
        if doubled:
            raise Wrong(
                f"killed {when}: {doubled} was sent twice. What did your log contain before the "
                "post?"
            )
        if not after and "b" in world.taken:
            raise Wrong(
                "killed before CXone accepted it: you sent it again, but you cannot know that it "
                "is not there."
            )
        if "b" not in held:
            raise Wrong(
                f"killed {when}: 'b' is not held for review. You hold {held}; report unknown "
                "outcomes."
            )
        if "a" in held:
            raise Wrong(f"killed {when}: you hold {held} for review, but 'a' was sent and logged.")
        # An intent for all mails first, then all posts, is right too: then 'c' is in doubt as well.
        if "c" not in world.taken and "c" not in held:
            raise Wrong(
                "'c' was neither sent nor held: one mail in doubt must not stop the others."
            )
        if "c" in world.taken and "c" in held:
            raise Wrong(f"killed {when}: you hold {held} for review, but 'c' was sent in the end.")
    _judge_other_ids(bridge)


def _judge_other_ids(
    bridge: Callable[[list[str], list[object], Callable[[str], None]], list[str]],
) -> None:
    ids, given, log = ["x7", "x9"], ["x7", "x9"], list[object]()
    world = _World(0, after=False)
    bridge(given, log, world.post)
    if given != ids:
        raise Wrong("you changed the list of ids that you were given.")
    if world.taken != ids:
        raise Wrong(f"right for a, b and c. For {ids}, CXone has {world.taken}.")


a_bridge_with_a_memory = Exercise(
    judge=_judge_bridge,
    right=(
        "intent, post, outcome, in this order. An intent without an outcome is in doubt: ask an "
        "operator."
    ),
    hints=[
        "make two log entries per mail: one before the post, one after it.",
        "on restart: both entries, done. None, send it. Only the first, do not send it: return "
        "it for review.",
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
    explanation=(
        "The entry before the post makes it at most once; the one after it separates done from in "
        "doubt. (The router's intent also has a deadline, so that two routers can run.)"
    ),
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
