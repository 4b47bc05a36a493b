"""The exercises of 09_account_service."""

from __future__ import annotations

from collections.abc import Callable

from eventlab.lessons.exercise import Exercise, Wrong


def _judge_steps(steps: dict[str, str]) -> None:
    if not isinstance(steps, dict) or set(steps) != set("abcd"):
        raise Wrong('give a dict with the four letters: {"a": ..., "b": ..., "c": ..., "d": ...}.')
    if not set(steps.values()) <= {"again", "look", "stop"}:
        raise Wrong('each answer is one of "again", "look" and "stop".')
    if steps["a"] == "stop":
        raise Wrong(
            "a: the outcome is unknown. If you stop here, the deposit may or may not exist."
        )
    if steps["a"] == "look":
        raise Wrong("a: the funds do not show whose deposit is in them. The key does.")
    if steps["b"] == "again":
        raise Wrong(
            "b: the same request with the same stale version gets the same response, forever."
        )
    if steps["b"] != "look":
        raise Wrong("b: the request may still make sense with the current state.")
    if steps["c"] != "stop":
        raise Wrong("c: the request itself is wrong, and repeating it does not help.")
    if steps["d"] != "again":
        raise Wrong(
            "d: the service is unavailable now, not forever. The key makes a repeat harmless."
        )


what_to_do_next = Exercise(
    judge=_judge_steps,
    right="unknown or unavailable: again, with the key. Changed: look. Wrong: stop.",
    hints=[
        "for each, ask: is the outcome known? Could the same request ever succeed?",
        "two of the four are sent again, with the same key.",
    ],
    answer="""
        steps = {"a": "again", "b": "look", "c": "stop", "d": "again"}
    """,
    explanation=(
        "Only the same request with the same key is a repeat; everything else is a new decision."
    ),
    mistakes=[
        """
        steps = {"a": "look", "b": "look", "c": "stop", "d": "again"}
        """,
        """
        steps = {"a": "again", "b": "again", "c": "stop", "d": "again"}
        """,
        """
        steps = {"a": "again", "b": "look", "c": "again", "d": "again"}
        """,
        """
        steps = {"a": "again", "b": "look", "c": "stop", "d": "stop"}
        """,
    ],
)


TRIES = 50  # three are needed


class _Bank:
    """Deposits by key, on a connection that breaks before the deposit, after it, or not at all.

    A number instead is the status code of a response, without a deposit.
    """

    def __init__(self, breaks: list[str | int]) -> None:
        self.breaks = breaks
        self.tries = 0
        self.keys: dict[str, int] = {}

    def send(self, amount: int, key: str) -> int:
        if not isinstance(key, str) or not key:
            raise Wrong(
                "a deposit without a key looks like any other: pass a unique, non-empty string."
            )
        self.tries += 1
        if self.tries > TRIES:
            raise Wrong("you send it again and again. Which response is final?")
        broken = self.breaks.pop(0) if self.breaks else ""
        if isinstance(broken, int):
            return broken
        if broken != "before":
            self.keys.setdefault(key, amount)
        if broken:
            raise ConnectionError("connection lost")
        return 200


def _judge_client(deposit: Callable[[Callable[[int, str], int], int], int]) -> None:
    if deposit(_Bank([]).send, 5) != 200:
        raise Wrong("without failures the response is 200: return it.")
    for breaks in (["before"], ["after"], ["after", "before", "after"]):
        bank = _Bank(list(breaks))
        try:
            code = deposit(bank.send, 5)
        except ConnectionError as error:
            raise Wrong(
                "the connection broke, and you stopped: now nobody knows whether the deposit "
                "exists."
            ) from error
        funds = sum(bank.keys.values())
        if funds > 5:
            raise Wrong(
                f"{funds} instead of 5: each attempt had a new key, so each was a new deposit."
            )
        if (code, funds) != (200, 5):
            raise Wrong(
                f"after {breaks} the balance is {funds} and you return {code}; expected 5 and 200."
            )
    first, second = _Bank([]), _Bank([])
    second.keys = first.keys
    deposit(first.send, 5)
    deposit(second.send, 5)
    if len(first.keys) != 2:
        raise Wrong(
            "two deposits of 5 are two requests. With the same key for both, the second is lost."
        )
    for code, meaning in ((400, "the request is wrong"), (422, "the key was used differently")):
        bank = _Bank([code] * (TRIES + 1))
        if deposit(bank.send, 5) != code or bank.tries > 1:
            raise Wrong(
                f"the response was {code}: {meaning}. The same request gets the same response "
                "forever: return the code at once."
            )
    bank = _Bank([503, 503])
    if (code := deposit(bank.send, 5)) != 200:
        raise Wrong(
            f"the service was unavailable for a moment (503), and you returned {code}. Send it "
            "again, with the same key."
        )
    amounts = _Bank([])
    deposit(amounts.send, 7)
    if list(amounts.keys.values()) != [7]:
        raise Wrong("a deposit of 7 was sent as another amount: use the argument.")


a_client_that_does_not_give_up = Exercise(
    judge=_judge_client,
    right="one key per request, however many attempts. A client needs no other rule.",
    hints=[
        "create the key before the loop, not in it: uuid.uuid4().hex, for example.",
        "on a ConnectionError or a 503, send it again; return every other code.",
    ],
    answer="""
        import uuid


        def deposit(send, amount):
            key = uuid.uuid4().hex
            while True:
                try:
                    code = send(amount, key)
                except ConnectionError:
                    continue
                if code != 503:
                    return code
    """,
    explanation=(
        "The key identifies the request, however often it is sent. (A real client waits between "
        "its attempts, longer each time, and gives up within the day for which a key lives.)"
    ),
    mistakes=[
        """
        import uuid


        def deposit(send, amount):
            while True:
                try:
                    return send(amount, uuid.uuid4().hex)
                except ConnectionError:
                    continue
        """,
        """
        import uuid


        def deposit(send, amount):
            key = uuid.uuid4().hex
            while True:
                try:
                    if send(amount, key) == 200:
                        return 200
                except ConnectionError:
                    continue
        """,
        """
        import uuid


        def deposit(send, amount):
            key = uuid.uuid4().hex
            while True:
                try:
                    return send(amount, key)
                except ConnectionError:
                    continue
        """,
        """
        import uuid


        def deposit(send, amount):
            key = uuid.uuid4().hex
            while True:
                try:
                    code = send(5, key)
                except ConnectionError:
                    continue
                if code != 503:
                    return code
        """,
        """
        import uuid


        def deposit(send, amount):
            for _ in range(3):
                try:
                    code = send(amount, uuid.uuid4().hex)
                except ConnectionError:
                    return 200
            return code
        """,
        """
        def deposit(send, amount):
            return send(amount, "key")
        """,
        """
        def deposit(send, amount):
            while True:
                try:
                    return send(amount, f"deposit {amount}")
                except ConnectionError:
                    continue
        """,
        """
        def deposit(send, amount):
            return send(amount, "")
        """,
    ],
)
