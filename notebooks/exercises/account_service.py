"""The exercises of 06_account_service."""

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
            "a: nobody knows whether it was done. Whoever stops here has perhaps paid, perhaps not."
        )
    if steps["a"] == "look":
        raise Wrong("a: a look tells the funds, not whose deposit made them so. The key knows.")
    if steps["b"] == "again":
        raise Wrong(
            "b: the same request with the same stale version gets the same answer, for ever."
        )
    if steps["b"] != "look":
        raise Wrong("b: the wish may still be sensible, on what is there now.")
    if steps["c"] != "stop":
        raise Wrong("c: the request itself is wrong. The tenth time it is as wrong as the first.")
    if steps["d"] != "again":
        raise Wrong(
            "d: the service cannot right now; later it can. The key makes the repeat harmless."
        )


what_to_do_next = Exercise(
    judge=_judge_steps,
    right="not known or not now: again, with the key. Changed: look. Wrong: stop.",
    hints=["ask of each: is it known whether it was done? Would the same request ever succeed?"],
    answer="""
        steps = {"a": "again", "b": "look", "c": "stop", "d": "again"}
    """,
    explanation="Only the same request with the same key is a repeat; everything else is a new decision.",
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


class _Bank:
    """Deposits by key, and a line that breaks: before the deposit, after it, or not at all."""

    def __init__(self, breaks: list[str]) -> None:
        self.breaks = breaks
        self.keys: dict[str, int] = {}

    def send(self, amount: int, key: str) -> int:
        if not isinstance(key, str) or not key:
            raise Wrong(
                "a deposit without a key cannot be told from another one: give a text that is yours alone."
            )
        broken = self.breaks.pop(0) if self.breaks else ""
        if broken != "before":
            self.keys.setdefault(key, amount)
        if broken:
            raise ConnectionError("the line is dead")
        return 200


def _judge_client(deposit: Callable[[Callable[[int, str], int], int], int]) -> None:
    if deposit(_Bank([]).send, 5) != 200:
        raise Wrong("all goes well, and the answer is 200: return it.")
    for breaks in (["before"], ["after"], ["after", "before", "after"]):
        bank = _Bank(list(breaks))
        try:
            code = deposit(bank.send, 5)
        except ConnectionError as error:
            raise Wrong(
                "the connection broke, and you gave up: nobody knows now whether the money is there."
            ) from error
        funds = sum(bank.keys.values())
        if funds > 5:
            raise Wrong(f"{funds} instead of 5: each try had a new key, so each was a new deposit.")
        if (code, funds) != (200, 5):
            raise Wrong(
                f"after {breaks} there are {funds} in the account and you return {code}; expected 5 and 200."
            )
    first, second = _Bank([]), _Bank([])
    second.keys = first.keys
    deposit(first.send, 5)
    deposit(second.send, 5)
    if len(first.keys) != 2:
        raise Wrong(
            "two deposits of 5 are two wishes. With one and the same key for all, the second is lost."
        )


a_client_that_does_not_give_up = Exercise(
    judge=_judge_client,
    right="one key for one wish, however many tries. That is all that a client has to know.",
    hints=[
        "make the key before the loop, not in it: uuid.uuid4().hex, for example.",
        "try, return what came back; on a ConnectionError try again.",
    ],
    answer="""
        import uuid


        def deposit(send, amount):
            key = uuid.uuid4().hex
            while True:
                try:
                    return send(amount, key)
                except ConnectionError:
                    continue
    """,
    explanation="The key stands for the wish: made with it, and living as long. (A real client also pauses.)",
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
