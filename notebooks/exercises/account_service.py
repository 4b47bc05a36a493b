"""The exercises of 09_account_service."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

from eventlab import (
    CommandRejected,
    EventStore,
    IdempotencyKeyReused,
    Recorded,
    VersionConflict,
    connect,
)
from eventlab.accounts import AccountService, VersionChanged
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
        raise Wrong(
            "a: the funds do not show whose deposits they include. Only the key identifies your "
            "deposit."
        )
    if steps["b"] == "again":
        raise Wrong(
            "b: the same request with the same stale version gets the same response, forever."
        )
    if steps["b"] != "look":
        raise Wrong("b: the deposit may still make sense in the current state of the account.")
    if steps["c"] != "stop":
        raise Wrong("c: the request itself is wrong, and repeating it does not help.")
    if steps["d"] != "again":
        raise Wrong(
            "d: the service is unavailable now, not forever. The key makes a repeat harmless."
        )


what_to_do_next = Exercise(
    judge=_judge_steps,
    right="you know when to repeat a request, when to look again, and when to stop.",
    hints=[
        "for each case, ask: is the outcome known? Could the same request ever succeed?",
        "two of the four requests are sent again, with the same key.",
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

    A number in the list is the status code of a response without a deposit.
    """

    def __init__(self, breaks: list[str | int]) -> None:
        self.breaks = breaks
        self.tries = 0
        self.keys: dict[str, int] = {}

    def send(self, amount: int, key: str) -> int:
        if not isinstance(key, str) or not key:
            raise Wrong(
                "a deposit without a key looks like any other deposit: pass a unique, non-empty "
                "string as the key."
            )
        self.tries += 1
        if self.tries > TRIES:
            raise Wrong("you send the request again and again. Which response is final?")
        broken = self.breaks.pop(0) if self.breaks else ""
        if isinstance(broken, int):
            return broken
        if broken != "before":
            self.keys.setdefault(key, amount)
        if broken:
            raise ConnectionError("connection lost")
        return 200


BREAKS = (
    (["before"], "the connection broke before the deposit"),
    (["after"], "the connection broke after the deposit"),
    (["after", "before", "after"], "the connection broke three times"),
)


def _judge_client(deposit: Callable[[Callable[[int, str], int], int], int]) -> None:
    if deposit(_Bank([]).send, 5) != 200:
        raise Wrong("without failures, the status code is 200: return it.")
    for breaks, what in BREAKS:
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
                f"the balance is {funds}, not 5: each attempt had a new key, so each attempt was a "
                "new deposit."
            )
        if (code, funds) != (200, 5):
            raise Wrong(
                f"{what}: the balance is {funds}, and you returned {code}; expected a balance of "
                "5 and the status code 200."
            )
    first, second = _Bank([]), _Bank([])
    second.keys = first.keys
    deposit(first.send, 5)
    deposit(second.send, 5)
    if len(first.keys) != 2:
        raise Wrong(
            "two deposits of 5 are two requests. With the same key for both, the second is lost."
        )
    for code, meaning in ((400, "the request is wrong"), (422, "another request had this key")):
        bank = _Bank([code] * (TRIES + 1))
        if deposit(bank.send, 5) != code or bank.tries > 1:
            raise Wrong(
                f"the response was {code} ({meaning}). The same request gets the same response "
                "forever: return the code immediately."
            )
    bank = _Bank([503, 503])
    if (code := deposit(bank.send, 5)) != 200:
        raise Wrong(
            f"the service was unavailable for a moment (503), and you returned {code}. Send the "
            "request again, with the same key."
        )
    amounts = _Bank([])
    deposit(amounts.send, 7)
    if list(amounts.keys.values()) != [7]:
        raise Wrong("the amount was 7, but your code sent a different amount: use the argument.")


a_client_that_does_not_give_up = Exercise(
    judge=_judge_client,
    right="you used one key per request, however many attempts it took.",
    hints=[
        "create the key before the loop, not in it: uuid.uuid4().hex, for example.",
        "on a ConnectionError, a 409 or a 503, send the request again; return every other code.",
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
                if code not in (409, 503):
                    return code
    """,
    explanation=(
        "The key identifies the request, however often it is sent. (A real client waits between "
        "its attempts, longer each time, and stops before the key expires.)"
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


# ----------------------------------------------------------------------- exercise 1: which key?

KEYS = {"a": "random", "b": "business", "c": "none", "d": "business", "e": "look"}
KEY_CONSEQUENCES = {
    ("a", "business"): (
        "what would you derive the key from? A key made from the customer and the amount would "
        "stop the customer from depositing 50 twice in one day."
    ),
    ("a", "none"): "after a lost response, the app repeats the deposit: the customer pays twice.",
    ("a", "look"): (
        "another client may have deposited 50, too: the funds do not show whose deposits they "
        "include. And the first request may still arrive after you have looked at the account."
    ),
    ("b", "random"): (
        "the key is in memory. The job crashes, starts again, makes new keys, and pays the first "
        "invoices again."
    ),
    ("b", "none"): "after a crash, the job starts again, and pays the first invoices again.",
    (
        "b",
        "look",
    ): "looking first would work, but costs another request for each invoice. The invoice number "
    "is already a key.",
    ("c", "random"): "a read changes nothing, so it can be repeated without a key.",
    ("c", "business"): "a read changes nothing, so it can be repeated without a key.",
    ("c", "look"): "this request *is* the check.",
    ("d", "random"): "two runs of the job make two keys, and pay the interest twice.",
    ("d", "none"): "the job runs twice, and pays the interest twice.",
    ("d", "look"): "two runs at the same time both look first, find no payment, and both pay.",
    ("e", "random"): "a new key means a new payment, but some invoices were paid last week.",
    ("e", "business"): (
        "the invoice number is a good key, but the service has forgotten it: a key lives "
        "for one day. Last week's payments would be made again."
    ),
    ("e", "none"): "last week's payments would be made again.",
}


def _judge_keys(keys: dict[str, str]) -> None:
    if not isinstance(keys, dict) or set(keys) != set(KEYS):
        raise Wrong('give a dict with the five letters: {"a": ..., "b": ..., and so on}.')
    for letter, right in KEYS.items():
        choice = keys[letter]
        if choice not in ("random", "business", "none", "look"):
            raise Wrong(
                f'{letter}: {choice!r} is not one of "random", "business", "none" and "look".'
            )
        if choice != right:
            raise Wrong(f"{letter}: {KEY_CONSEQUENCES[letter, choice]}")


which_key = Exercise(
    judge=_judge_keys,
    right="a client that repeats a request must send the same key again, within one day.",
    hints=[
        "for each client, ask: which program repeats the request? Does it still know the key then?",
        "two of the clients already have a business id; one repeats its requests too late for any "
        "key.",
    ],
    answer="""
        keys = {"a": "random", "b": "business", "c": "none", "d": "business", "e": "look"}
    """,
    explanation=(
        "A random key works if the same process repeats the request. If another run may repeat it, "
        "derive the key from what is paid. After a day, only the events show what was paid."
    ),
    mistakes=[
        f"""
        keys = {KEYS | {letter: choice}}
        """
        for letter, choice in KEY_CONSEQUENCES
        if (letter, choice) != ("c", "business")  # same feedback as ("c", "random")
    ],
)


# ------------------------------------------------------------------------ exercise 4: interest


@contextmanager
def opened_service(funds: int, kind: type[AccountService] = AccountService) -> Iterator[Any]:
    """Open a service on a store of its own, with the account "a", and drop the store at the end."""
    with connect() as lab:
        store = EventStore(lab.redis, f"exerciseService-{secrets.token_hex(4)}")
        try:
            plain = AccountService(store)
            plain.create("a")
            if funds:
                plain.deposit("a", funds)
            yield kind(store)
        finally:
            store.drop()


class _Wire:
    """The two calls of a client: each post runs into the next item of ``troubles``.

    "other" is a deposit by another client before the post; "before" and "after" lose the
    connection; a number is a status without a deposit.
    """

    def __init__(self, service: AccountService, troubles: list[str | int]) -> None:
        self.service = service
        self.troubles = list(troubles)
        self.posts = 0
        self.paid: list[int] = []

    def get(self) -> tuple[int, int]:
        balance = self.service.fetch("a")
        return balance.version, balance.funds

    def post(self, amount: int, if_match: int, key: str) -> int:
        if not isinstance(key, str) or not key:
            raise Wrong("pass a key that is a unique, non-empty string.")
        if type(if_match) is not int:
            raise Wrong(f"if_match is {if_match!r}: pass the version that get() returned.")
        self.posts += 1
        if self.posts > TRIES:
            raise Wrong(
                "you send the request again and again. After a 412, you need a new decision: look "
                "again, and make a new key. (With the old key, the service returns the recorded "
                "rejection again.)"
            )
        trouble = self.troubles.pop(0) if self.troubles else ""
        if isinstance(trouble, int):
            return trouble
        if trouble == "other":
            self.service.deposit("a", 1000)
        if trouble == "before":
            raise ConnectionError("connection lost")
        try:
            before = self.service.fetch("a").version
            event = self.service.deposit("a", amount, versions={if_match}, idempotency_key=key)
        except VersionChanged:
            return 412
        except IdempotencyKeyReused:
            return 422
        if event.version > before:
            self.paid.append(amount)
        if trouble == "after":
            raise ConnectionError("connection lost")
        return 200


INTEREST: list[tuple[list[str | int], list[int], str]] = [
    ([], [100], "nothing went wrong"),
    (["other"], [200], "another client deposited 1000 between your get and your post"),
    ([503, 503], [100], "the service was unavailable for a moment (503)"),
    (["before"], [100], "the connection broke before the deposit"),
    (["after"], [100], "the connection broke after the deposit"),
    (["after", "before", "after"], [100], "the connection broke three times"),
    (["before", "other"], [200], "the connection broke, and then another client deposited 1000"),
    (
        ["after", "other"],
        [100],
        "the connection broke after the deposit, and then another client deposited 1000",
    ),
]


def _judge_interest(add_interest: Callable[..., object]) -> None:
    with opened_service(70) as service:
        wire = _Wire(service, [])
        add_interest(wire.get, wire.post)
        if wire.paid != [7]:
            raise Wrong(f"a tenth of 70 is 7. You paid {wire.paid or 'nothing'}.")
        add_interest(wire.get, wire.post)
        if wire.paid != [7, 7]:
            raise Wrong(
                f"two calls pay interest twice, for two months: 7 and 7. You paid {wire.paid}. A "
                "new call is a new request, with a new key."
            )
    for troubles, paid, what in INTEREST:
        with opened_service(1000) as service:
            wire = _Wire(service, troubles)
            try:
                add_interest(wire.get, wire.post)
            except ConnectionError as error:
                raise Wrong(
                    f"{what}, and you stopped. The outcome is unknown: send the same request again."
                ) from error
        if wire.paid != paid:
            raise Wrong(
                f"the account held 1000, and {what}. Interest paid: "
                f"{wire.paid or 'none'}; expected {paid}." + _why_interest(wire.paid, paid)
            )


def _why_interest(paid: list[int], expected: list[int]) -> str:
    if len(paid) > len(expected):
        return (
            " If no response comes, repeat the *same* request: same amount, same version, same key."
        )
    if not paid:
        return " After which status codes must you continue?"
    return " The interest is a tenth of the funds at the version that you pass as if_match."


the_interest = Exercise(
    judge=_judge_interest,
    right="you repeated the request if no response came, and decided again after a change.",
    hints=[
        "two loops: the outer loop fetches the account and makes a key; the inner loop sends the "
        "request.",
        "the inner loop ends unless the status was 409 or 503; the outer loop ends unless the "
        "status was 412.",
    ],
    answer="""
        import uuid


        def add_interest(get, post):
            while True:
                version, funds = get()
                key = uuid.uuid4().hex
                while True:
                    try:
                        status = post(funds // 10, version, key)
                    except ConnectionError:
                        continue
                    if status not in (409, 503):
                        break
                if status != 412:
                    return
    """,
    explanation=(
        "The key belongs to one decision. If the response is lost, the decision is still valid: "
        "repeat the same request. If the account has changed, decide again, with a new key."
    ),
    mistakes=[
        """
        import uuid


        def add_interest(get, post):
            while True:
                version, funds = get()
                try:
                    if post(funds // 10, version, uuid.uuid4().hex) == 200:
                        return
                except ConnectionError:
                    pass
        """,
        """
        import uuid


        def add_interest(get, post):
            key = uuid.uuid4().hex
            while True:
                version, funds = get()
                try:
                    if post(funds // 10, version, key) == 200:
                        return
                except ConnectionError:
                    pass
        """,
        """
        import uuid


        def add_interest(get, post):
            version, funds = get()
            key = uuid.uuid4().hex
            while True:
                try:
                    if post(funds // 10, version, key) != 503:
                        return
                except ConnectionError:
                    pass
        """,
        """
        import uuid


        def add_interest(get, post):
            version, funds = get()
            key = uuid.uuid4().hex
            while True:
                try:
                    status = post(funds // 10, version, key)
                except ConnectionError:
                    continue
                if status != 412:
                    return
                version, _ = get()
                key = uuid.uuid4().hex
        """,
        """
        import uuid


        def add_interest(get, post):
            while True:
                version, funds = get()
                if post(funds // 10, version, uuid.uuid4().hex) == 200:
                    return
        """,
        """
        def add_interest(get, post):
            while True:
                version, funds = get()
                while True:
                    try:
                        status = post(funds // 10, version, "interest")
                    except ConnectionError:
                        continue
                    if status != 503:
                        break
                if status != 412:
                    return
        """,
    ],
)


# --------------------------------------------------------------- exercise 5: a complete handler


class _Busy(AccountService):
    """A service whose withdrawals always end in a version conflict."""

    def withdraw(self, *_: Any, **__: Any) -> Recorded:
        raise VersionConflict("a", 2, 3)


class _Down(AccountService):
    """A service whose Redis does not respond."""

    def withdraw(self, *_: Any, **__: Any) -> Recorded:
        raise RedisConnectionError("connection refused")


def _handled(
    handler: Callable[..., Any], service: AccountService, *request: Any
) -> tuple[int, Any]:
    answered = handler(service, *request)
    if not isinstance(answered, tuple) or len(answered) != 2 or type(answered[0]) is not int:
        raise Wrong(f"you returned {answered!r}; return a status and a body, like (200, {{...}}).")
    return answered


REQUESTS: list[tuple[tuple[Any, ...], int, str]] = [
    (("a", 30, None, None), 200, "the account holds 100, and 30 is withdrawn"),
    (("a", 10, 3, None), 200, "the account is at version 3, and If-Match says 3"),
    (("a", 10, 3, None), 412, "the account is at version 4, and If-Match says 3"),
    (("a", 500, None, None), 400, "the account holds 60, and 500 is withdrawn"),
    (("a", "10", None, None), 400, 'the amount is the string "10"'),
    (("b", 10, None, None), 404, "there is no account b"),
    (("a", 10, None, "k"), 200, "a request with the key k"),
    (("a", 10, None, "k"), 200, "the request with the key k again"),
    (("a", 20, None, "k"), 422, "the key k again, with another amount"),
    (("a", 5, 5, "l"), 200, "a request with If-Match 5 and the key l"),
    (("a", 5, 5, "l"), 200, "the request with the key l again (the key wins)"),
]


def _judge_handler(handler: Callable[..., Any]) -> None:
    with opened_service(100) as service:
        for request, expected, what in REQUESTS:
            try:
                status, body = _handled(handler, service, *request)
            except (VersionConflict, IdempotencyKeyReused, CommandRejected) as error:
                raise Wrong(
                    f"{what}: your handler raised {type(error).__name__}; expected {expected}."
                ) from error
            if status != expected:
                raise Wrong(f"{what}: you returned {status} with {body}; expected {expected}.")
            if status == 200 and body != {"version": service.fetch("a").version}:
                raise Wrong(
                    f"{what}: the body is {body}; expected the version of the event, "
                    f"{service.fetch('a').version}."
                )
        if (found := service.fetch("a")).funds != 45:
            raise Wrong(
                f"after all requests, the account holds {found.funds}; expected 45. Pass the key "
                "and the versions on to the service."
            )
    with opened_service(100, _Busy) as service:
        try:
            status, body = _handled(handler, service, "a", 1, None, None)
        except VersionConflict as error:
            raise Wrong(
                "after too many conflicts, the service raises VersionConflict. That is a 409."
            ) from error
        if status != 409:
            raise Wrong(f"after too many conflicts, you returned {status}; expected 409.")
    with opened_service(100, _Down) as service:
        try:
            status, body = _handled(handler, service, "a", 1, None, None)
        except RedisConnectionError:
            return
        if status not in (500, 503):
            raise Wrong(
                f"Redis does not respond, and you returned {status}: the client would think that "
                "its request is wrong. Catch only the errors that you know."
            )


a_handler = Exercise(
    judge=_judge_handler,
    right="each error has its own status, and an unexpected error is not the client's fault.",
    hints=[
        "pass versions={if_match}, or None if there is no if_match.",
        "UnknownAccount and VersionChanged are kinds of CommandRejected: catch these two first.",
        "six outcomes: 200, 404, 412, 400, 409 (VersionConflict), 422 (IdempotencyKeyReused).",
    ],
    answer="""
        from eventlab import CommandRejected, IdempotencyKeyReused, VersionConflict
        from eventlab.accounts import UnknownAccount, VersionChanged


        def withdraw(service, id, amount, if_match, key):
            versions = None if if_match is None else {if_match}
            try:
                event = service.withdraw(id, amount, versions=versions, idempotency_key=key)
            except UnknownAccount as error:
                return 404, str(error)
            except VersionChanged as error:
                return 412, str(error)
            except CommandRejected as error:
                return 400, str(error)
            except VersionConflict as error:
                return 409, str(error)
            except IdempotencyKeyReused as error:
                return 422, str(error)
            return 200, {"version": event.version}
    """,
    explanation=(
        "The handler translates, and decides nothing. The only pitfall is the order: catch the "
        "specific rejections before the general one."
    ),
    mistakes=[
        """
        from eventlab import CommandRejected


        def withdraw(service, id, amount, if_match, key):
            versions = None if if_match is None else {if_match}
            try:
                event = service.withdraw(id, amount, versions=versions, idempotency_key=key)
            except CommandRejected as error:
                return 400, str(error)
            return 200, {"version": event.version}
        """,
        """
        from eventlab import CommandRejected
        from eventlab.accounts import UnknownAccount, VersionChanged


        def withdraw(service, id, amount, if_match, key):
            versions = None if if_match is None else {if_match}
            try:
                event = service.withdraw(id, amount, versions=versions)
            except UnknownAccount as error:
                return 404, str(error)
            except VersionChanged as error:
                return 412, str(error)
            except CommandRejected as error:
                return 400, str(error)
            return 200, {"version": event.version}
        """,
        """
        from eventlab import CommandRejected
        from eventlab.accounts import UnknownAccount, VersionChanged


        def withdraw(service, id, amount, if_match, key):
            try:
                event = service.withdraw(id, amount, versions={if_match}, idempotency_key=key)
            except UnknownAccount as error:
                return 404, str(error)
            except VersionChanged as error:
                return 412, str(error)
            except CommandRejected as error:
                return 400, str(error)
            return 200, {"version": event.version}
        """,
        """
        from eventlab.accounts import UnknownAccount, VersionChanged


        def withdraw(service, id, amount, if_match, key):
            versions = None if if_match is None else {if_match}
            try:
                event = service.withdraw(id, amount, versions=versions, idempotency_key=key)
            except UnknownAccount as error:
                return 404, str(error)
            except VersionChanged as error:
                return 412, str(error)
            except Exception as error:
                return 400, str(error)
            return 200, {"version": event.version}
        """,
        """
        from eventlab import IdempotencyKeyReused, VersionConflict
        from eventlab.accounts import UnknownAccount, VersionChanged


        def withdraw(service, id, amount, if_match, key):
            versions = None if if_match is None else {if_match}
            try:
                event = service.withdraw(id, amount, versions=versions, idempotency_key=key)
            except UnknownAccount as error:
                return 404, str(error)
            except VersionChanged as error:
                return 412, str(error)
            except VersionConflict as error:
                return 409, str(error)
            except IdempotencyKeyReused as error:
                return 422, str(error)
            except Exception as error:
                return 400, str(error)
            return 200, {"version": event.version}
        """,
        """
        from eventlab import CommandRejected, IdempotencyKeyReused
        from eventlab.accounts import UnknownAccount, VersionChanged


        def withdraw(service, id, amount, if_match, key):
            versions = None if if_match is None else {if_match}
            try:
                event = service.withdraw(id, amount, versions=versions, idempotency_key=key)
            except UnknownAccount as error:
                return 404, str(error)
            except VersionChanged as error:
                return 412, str(error)
            except CommandRejected as error:
                return 400, str(error)
            except IdempotencyKeyReused as error:
                return 422, str(error)
            return 200, {"version": event.version}
        """,
    ],
)
