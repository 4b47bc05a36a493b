"""The exercises of 10_gmail_to_workitem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eventlab import Event
from eventlab.lessons.choices import choices
from eventlab.lessons.exercise import Exercise, Wrong
from eventlab.lessons.little_store import LittleStore

FATES = {"done", "again", "rejected", "doubt"}


def _judge_fates(fates: dict[str, str]) -> None:
    if not isinstance(fates, dict) or set(fates) != set("abcdef"):
        raise Wrong('give a dict with the six letters: {"a": ..., "b": ..., and so on to "f"}.')
    if not set(fates.values()) <= FATES:
        raise Wrong('each answer is one of "done", "again", "rejected" and "doubt".')
    if fates["a"] != "done":
        raise Wrong("a: 202 means accepted. A missing id does not change that.")
    if fates["b"] == "doubt":
        raise Wrong("b: without a connection, not one byte was sent. Nothing is in doubt.")
    if fates["b"] != "again":
        raise Wrong("b: nothing was sent, and nothing was rejected: the next attempt may connect.")
    if fates["c"] == "again":
        raise Wrong(
            "c: a server may also fail after it has accepted the request. If you send the work "
            "item again, two agents may get it."
        )
    if fates["c"] != "doubt":
        raise Wrong(
            "c: 500 says that something went wrong, but not whether the work item was "
            "stored before that."
        )
    if fates["d"] != "again":
        raise Wrong(
            "d: 429 means that the server did not process the request. That is certain, and "
            "temporary."
        )
    if fates["e"] == "again":
        raise Wrong("e: the request itself is wrong, and repeating it does not help.")
    if fates["e"] != "rejected":
        raise Wrong("e: the server read the request and rejected it. The outcome is known.")
    if fates["f"] == "again":
        raise Wrong(
            "f: a timeout may be a late response. An agent may already be reading the email."
        )
    if fates["f"] != "doubt":
        raise Wrong(
            "f: without a response, you do not know whether the server accepted the work item."
        )


what_is_known = Exercise(
    judge=_judge_fates,
    right=(
        "the outcome is certain if the response is clear, or if the request was never sent. "
        "Anything in between needs an operator."
    ),
    hints=[
        "for each case, ask: is it possible that CXone has the work item? Is it certain?",
        "if CXone may have the work item, but this is not certain, the outcome is in doubt.",
    ],
    answer="""
        fates = {
            "a": "done", "b": "again", "c": "doubt",
            "d": "again", "e": "rejected", "f": "doubt",
        }
    """,
    explanation=(
        "After a 429, or without a connection, the outcome is certain. After a 500, or without a "
        "response, the outcome is in doubt."
    ),
    mistakes=[
        """
        fates = {
            "a": "doubt", "b": "again", "c": "doubt",
            "d": "again", "e": "rejected", "f": "doubt",
        }
        """,
        """
        fates = {
            "a": "done", "b": "doubt", "c": "doubt",
            "d": "again", "e": "rejected", "f": "doubt",
        }
        """,
        """
        fates = {
            "a": "done", "b": "again", "c": "again",
            "d": "again", "e": "rejected", "f": "again",
        }
        """,
        """
        fates = {
            "a": "done", "b": "again", "c": "doubt",
            "d": "doubt", "e": "rejected", "f": "doubt",
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
            "d": "again", "e": "rejected", "f": "again",
        }
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
        raise Wrong(f"without failures, CXone has {quiet.taken}; expected {ids}.")
    if list(held or ()) != []:
        raise Wrong(f"nothing failed, but you returned {held} for review: return an empty list.")
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
                "you caught the SIGKILL. In production, no code can do that: none of your lines "
                "runs after a SIGKILL."
            )
        held = list(bridge(ids, log, world.post) or ())
        when = (
            "after CXone accepted 'b', before you could log it"
            if after
            else "before CXone accepted 'b'"
        )
        doubled = [id for id in ids if world.taken.count(id) > 1]
        if doubled:
            raise Wrong(
                f"killed {when}: you sent {doubled} twice. What did your log contain before the "
                "post?"
            )
        if not after and "b" in world.taken:
            raise Wrong(
                "killed before CXone accepted 'b': you sent 'b' again, but you cannot know that "
                "CXone does not have it."
            )
        if "b" not in held:
            raise Wrong(
                f"killed {when}: you returned {held}, without 'b'. Return every id whose outcome "
                "is unknown."
            )
        if "a" in held:
            raise Wrong(f"killed {when}: you returned {held}, but 'a' was sent and logged.")
        # Storing all intents first and then posting is right, too: then 'c' is in doubt as well.
        if "c" not in world.taken and "c" not in held:
            raise Wrong(
                "'c' was neither sent nor returned: one email in doubt must not stop the others."
            )
        if "c" in world.taken and "c" in held:
            raise Wrong(f"killed {when}: you returned {held}, but 'c' was sent in the end.")
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
        raise Wrong(f"your bridge works for a, b and c. But for {ids}, CXone has {world.taken}.")


a_bridge_with_a_memory = Exercise(
    judge=_judge_bridge,
    right=(
        "intent, post, outcome, in this order. An intent without an outcome is in doubt: ask an "
        "operator."
    ),
    hints=[
        "make two log entries per email: one before the post, one after it.",
        "on restart: if an email has both entries, it is done. If it has none, send it. If it has "
        "only the first, do not send it: return it for review.",
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
        "Because of the entry before the post, nothing is sent twice. The entry after the post "
        "shows that the email is not in doubt. (The router's intent also has a deadline, so that "
        "two routers can run.)"
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


_STEPS: dict[str, tuple[list[tuple[str, dict[str, int]]], str, str]] = {
    "a new email": ([("received", {})], "send", "nothing has been sent yet."),
    "an intent whose deadline has not passed": (
        [("received", {}), ("submitting", {"deadline": 130})],
        "wait",
        "another router may be in the middle of its POST, and the response may still arrive.",
    ),
    "an intent whose deadline is now": (
        [("received", {}), ("submitting", {"deadline": 100})],
        "hold",
        "an attempt is over at its deadline, and its outcome is unknown: only an operator may "
        "decide.",
    ),
    "an intent whose deadline has passed": (
        [("received", {}), ("submitting", {"deadline": 70})],
        "hold",
        "this attempt can no longer reach CXone, and its outcome is unknown: only an operator "
        "may decide.",
    ),
    "a submitted email": (
        [("received", {}), ("submitting", {"deadline": 70}), ("submitted", {})],
        "nothing",
        "the email is at CXone, so the deadline of that attempt no longer matters.",
    ),
    "a refused email (CXone has rejected it)": (
        [("received", {}), ("submitting", {"deadline": 130}), ("refused", {})],
        "nothing",
        "CXone will never accept the email, and an operator can see that.",
    ),
    "an email that was certainly not accepted": (
        [("received", {}), ("submitting", {"deadline": 70}), ("unsent", {})],
        "send",
        "CXone certainly does not have the email, so it is safe to send it again.",
    ),
    "a second attempt": (
        [
            ("received", {}),
            ("submitting", {"deadline": 70}),
            ("unsent", {}),
            ("submitting", {"deadline": 140}),
        ],
        "wait",
        "only the last event counts, and its deadline has not passed.",
    ),
    "an email that was unsent three times": (
        [("received", {})] + [("submitting", {"deadline": 70}), ("unsent", {})] * 3,
        "hold",
        "after three attempts, an operator must decide: something is wrong with this email.",
    ),
}


def _judge_step(next_step: Callable[[list[tuple[str, dict[str, int]]], int], str]) -> None:
    for shift in (0, 1000):
        for name, (events, expected, why) in _STEPS.items():
            given = [(type, {key: n + shift for key, n in data.items()}) for type, data in events]
            kept = [(type, dict(data)) for type, data in given]
            found = next_step(given, 100 + shift)
            if given != kept:
                raise Wrong("you changed the list of events. Events never change.")
            if found != expected:
                raise Wrong(f"{name}: you returned {found!r}; expected {expected!r}, because {why}")


the_next_step = Exercise(
    judge=_judge_step,
    right="everything that a router must know is in the events. So a router can die at any moment, "
    "and another router continues.",
    hints=[
        "look at the last event first. You need earlier events only if it is `unsent`.",
        "only `submitting` has a deadline: before that deadline, wait; from then on, hold.",
    ],
    answer="""
        def next_step(events, now):
            last, data = events[-1]
            if last == "submitting":
                return "wait" if now < data["deadline"] else "hold"
            if last == "unsent":
                attempts = sum(type == "submitting" for type, _ in events)
                return "send" if attempts < 3 else "hold"
            return "send" if last == "received" else "nothing"
    """,
    explanation="The real router's aggregate decides in the same way; it has a few more states.",
    mistakes=[
        """
        def next_step(events, now):
            return "send" if events[-1][0] in ("received", "unsent", "submitting") else "nothing"
        """,
        """
        def next_step(events, now):
            last, data = events[-1]
            if last == "submitting":
                return "hold"
            return "send" if last in ("received", "unsent") else "nothing"
        """,
        """
        def next_step(events, now):
            last, data = events[-1]
            if last == "submitting":
                return "wait" if now <= data["deadline"] else "hold"
            return "send" if last in ("received", "unsent") else "nothing"
        """,
        """
        def next_step(events, now):
            last, data = events[-1]
            if last == "submitting":
                return "wait" if now < data["deadline"] else "send"
            return "send" if last in ("received", "unsent") else "nothing"
        """,
        """
        def next_step(events, now):
            last, data = events[-1]
            if last == "submitting":
                return "wait" if now < data["deadline"] else "hold"
            return "send" if last in ("received", "unsent") else "nothing"
        """,
        """
        def next_step(events, now):
            for type, data in events:
                if type == "submitting" and now >= data["deadline"]:
                    return "hold"
            return "send" if events[-1][0] in ("received", "unsent") else "nothing"
        """,
    ],
)


class _Busy(LittleStore):
    """A store into which another router appends just before our append, if ``other`` is set."""

    other = False

    def append(self, id: str, events: Sequence[Event], *, expected: Any, **options: Any) -> Any:
        """Append, after the other router if there is one."""
        if self.other:
            self.other = False
            intent = [Event("submitting", {"router": "other"})]
            super().append(id, intent, expected=self.version(id))
        return super().append(id, events, expected=expected, **options)


def _routers(store: LittleStore, id: str) -> list[object]:
    return [e.data.get("router") for e in store.read(id) if e.type == "submitting"]


def _judge_claim(claim: Callable[[LittleStore, str, int, str], bool]) -> None:
    for id, name in (("m1", "A"), ("x7", "north")):
        store = _Busy()
        store.append(id, [Event("received")], expected=0)
        if claim(store, id, 1, name) is not True:
            raise Wrong("there is no other router, but you did not return True.")
        if _routers(store, id) != [name]:
            raise Wrong(
                f"after a claim by {name!r}, the intents are from {_routers(store, id)}: append "
                "one `submitting` event with the router's name."
            )
        if claim(store, id, 1, "late") is not False:
            raise Wrong(
                "two routers have loaded version 1, and you let both send the email: two agents "
                "get it. Return False to the second router."
            )
        if _routers(store, id) != [name]:
            raise Wrong("the router that came too late stored an intent, too: it must not.")
        store = _Busy()
        store.append(id, [Event("received")], expected=0)
        store.other = True
        if claim(store, id, 1, name) is not False or _routers(store, id) != ["other"]:
            raise Wrong(
                "another router appended between your check and your append. Do not check first: "
                "let append check the version."
            )

    class Broken(LittleStore):
        def append(self, *_: Any, **__: Any) -> Any:
            raise ConnectionError("Redis is unreachable")

    try:
        claim(Broken(), "m1", 0, "A")
    except ConnectionError:
        return
    raise Wrong("Redis was down, but you took that for a conflict. Catch VersionConflict only.")


one_router_only = Exercise(
    judge=_judge_claim,
    right="the expected version makes the intent a claim, and only one router can win.",
    hints=[
        "page 02: which argument of append makes the second of two writers fail?",
        'try store.append(id, [Event("submitting", {"router": router})], expected=version); '
        "what does append raise if another router was faster?",
    ],
    answer="""
        from eventlab import Event, VersionConflict


        def claim(store, id, version, router):
            try:
                store.append(id, [Event("submitting", {"router": router})], expected=version)
            except VersionConflict:
                return False
            return True
    """,
    explanation="This is why several routers may run at once: the event log is also their lock.",
    mistakes=[
        """
        from eventlab import ANY, Event


        def claim(store, id, version, router):
            store.append(id, [Event("submitting", {"router": router})], expected=ANY)
            return True
        """,
        """
        from eventlab import ANY, Event


        def claim(store, id, version, router):
            if store.version(id) != version:
                return False
            store.append(id, [Event("submitting", {"router": router})], expected=ANY)
            return True
        """,
        """
        from eventlab import Event


        def claim(store, id, version, router):
            try:
                store.append(id, [Event("submitting", {"router": router})], expected=version)
            except Exception:
                return False
            return True
        """,
        """
        from eventlab import Event, VersionConflict


        def claim(store, id, version, router):
            try:
                store.append(id, [Event("submitting")], expected=version)
            except VersionConflict:
                return False
            return True
        """,
    ],
)

the_operators_choice = Exercise(
    judge=choices(
        {
            "a": (
                "confirm",
                "CXone has the work item. If you send the email again, CXone has two work items.",
            ),
            "b": (
                "resend",
                "CXone does not have the email. If you confirm it, it never reaches an agent.",
            ),
            "c": (
                "wait",
                "the report is older than the attempt, so it says nothing about that attempt. Wait "
                "for a newer report: an hour of delay is better than two replies.",
            ),
            "d": (
                "resend",
                "a loss and a duplicate are both possible. A duplicate costs one reply too "
                "many; an emergency that nobody hears of is worse.",
            ),
            "e": (
                "wait",
                "here a duplicate is worse: money is paid out twice. Ask the customer or "
                "the agents before you send anything.",
            ),
        },
        ("confirm", "resend", "wait"),
    ),
    right="the program stops where the facts end, and an operator weighs what each mistake would "
    "cost.",
    hints=[
        "what does the operator know for certain? In a and b, that is enough to decide.",
        "d and e: no fact helps. Which mistake is worse, a loss or a duplicate?",
    ],
    answer="""
        decisions = {"a": "confirm", "b": "resend", "c": "wait", "d": "resend", "e": "wait"}
    """,
    explanation="The log keeps each decision and its time, for anyone who asks about it later.",
    mistakes=[
        """
        decisions = {"a": "resend", "b": "resend", "c": "wait", "d": "resend", "e": "wait"}
        """,
        """
        decisions = {"a": "confirm", "b": "confirm", "c": "wait", "d": "resend", "e": "wait"}
        """,
        """
        decisions = {"a": "confirm", "b": "resend", "c": "resend", "d": "resend", "e": "wait"}
        """,
        """
        decisions = {"a": "confirm", "b": "resend", "c": "wait", "d": "wait", "e": "wait"}
        """,
        """
        decisions = {"a": "confirm", "b": "resend", "c": "wait", "d": "resend", "e": "resend"}
        """,
    ],
)
