"""given/when/then of an aggregate: what passes, what fails, and what a failure says."""

from __future__ import annotations

from typing import Any

import pytest

from eventlab import Aggregate, CommandRejected, Event, InvalidArgument, InvalidEvent, Recorded
from eventlab.accounts.account import Account, InsufficientFunds, UnknownAccount
from eventlab.testing import given

CREATE = Event("create")
DEPOSIT = Event("deposit", {"amount": 100})


def failure(check: Any, *args: object) -> str:
    """Return what a check that must fail says."""
    with pytest.raises(AssertionError) as caught:
        check(*args)
    return str(caught.value)


class Draft(Aggregate):
    """A broken aggregate: each method makes a different mistake."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.words = 0
        self.helper = object()  # equal to nothing but itself
        self.seen: list[str] = []

    def write_outside_apply(self) -> None:
        self.record("written")
        self.words += 1

    def record_then_reject(self) -> None:
        self.record("written")
        raise CommandRejected("too late")

    def record_a_set(self) -> None:
        self.record("written", {"numbers": {1, 2}})

    def write(self, *words: str) -> None:
        self.record("written", {"words": list(words)})

    def apply(self, event: Event | Recorded) -> None:
        self.seen = event.data.get("words", [])
        self.seen.append("applied")


def test_then_accepts_exactly_the_recorded_events() -> None:
    outcome = given(Account, CREATE, DEPOSIT).when(Account.withdraw, 30)
    assert outcome.then(Event("withdraw", {"amount": 30})) is outcome


@pytest.mark.parametrize(
    "expected",
    [
        [],
        [Event("withdraw", {"amount": 31})],
        [Event("withdraw", {"amount": 30.0})],
        [Event("deposit", {"amount": 30})],
        [Event("withdraw", {"amount": 30}, {"by": "x"})],
        [Event("withdraw", {"amount": 30}), CREATE],
    ],
)
def test_then_rejects_other_events(expected: list[Event]) -> None:
    outcome = given(Account, CREATE, DEPOSIT).when(Account.withdraw, 30)
    assert "recorded different events than expected" in failure(outcome.then, *expected)


def test_failed_then_shows_the_difference_and_the_history() -> None:
    outcome = given(Account, CREATE, DEPOSIT).when(Account.withdraw, amount=30)
    assert failure(outcome.then, Event("withdraw", {"amount": 3})).splitlines() == [
        "withdraw(amount=30) recorded different events than expected (- expected, + recorded):",
        "- withdraw {'amount': 3}",
        "+ withdraw {'amount': 30}",
        "",
        "given:",
        "  create {}",
        "  deposit {'amount': 100}",
        "when:",
        "  withdraw(amount=30)",
    ]


def test_failure_prints_hostile_types_as_literals() -> None:
    outcome = given(Draft, Event("\x1b[2J")).when(Draft.write)
    assert "\x1b" not in failure(outcome.then)


def test_then_without_events_checks_that_nothing_happened() -> None:
    given(Account, CREATE).when(lambda account: None).then()
    assert "create {}" in failure(given(Account).when(Account.create).then)


def test_then_fails_for_a_rejected_decision_and_chains_its_error() -> None:
    outcome = given(Account, CREATE).when(Account.withdraw, 30)
    with pytest.raises(
        AssertionError, match=r"withdraw\(30\) raised InsufficientFunds: "
    ) as caught:
        outcome.then()
    assert isinstance(caught.value.__cause__, InsufficientFunds)


def test_rejected_returns_the_error_with_its_data() -> None:
    error = given(Account, CREATE, id="a").when(Account.withdraw, 30).rejected(InsufficientFunds)
    assert (error.id, error.funds, error.amount) == ("a", 0, 30)
    given(Account).when(Account.deposit, 1).rejected(CommandRejected, "does not exist")


def test_rejected_fails_for_a_decision_that_is_accepted() -> None:
    outcome = given(Account, CREATE).when(Account.deposit, 1)
    text = failure(outcome.rejected, InsufficientFunds)
    assert text.startswith("deposit(1) was not rejected with InsufficientFunds\nrecorded:\n  dep")


def test_rejected_fails_for_another_error_or_text() -> None:
    outcome = given(Account).when(Account.deposit, 1)
    assert "raised UnknownAccount" in failure(outcome.rejected, InsufficientFunds)
    assert "'no money' is not in the text" in failure(outcome.rejected, UnknownAccount, "no money")


def test_rejected_fails_for_events_recorded_before_the_rejection() -> None:
    outcome = given(Draft).when(Draft.record_then_reject)
    assert "check everything first" in failure(outcome.rejected, CommandRejected)


def test_then_notices_state_that_a_replay_does_not_produce() -> None:
    outcome = given(Draft).when(Draft.write_outside_apply)
    text = failure(outcome.then, Event("written"))
    assert text.startswith("words is 1 after write_outside_apply(), but 0 after a replay")


def test_then_names_an_event_that_no_store_accepts() -> None:
    outcome = given(Draft).when(Draft.record_a_set)
    assert "record_a_set() recorded an event that no store accepts" in failure(outcome.then)


def test_apply_may_keep_and_change_what_an_event_holds() -> None:
    words = Event("written", {"words": ["a"]})
    outcome = given(Draft, words).shows(seen=["a", "applied"]).when(Draft.write, "b")
    outcome.then(Event("written", {"words": ["b"]})).then(Event("written", {"words": ["b"]}))
    assert words.data == {"words": ["a"]}


def test_shows_compares_attributes_before_and_after() -> None:
    given(Account, CREATE, DEPOSIT).shows(funds=100, version=2)
    given(Account, CREATE, DEPOSIT).when(Account.withdraw, 30).shows(funds=70)
    text = failure(lambda: given(Account, CREATE).shows(funds=True, version=1))
    assert text.splitlines()[1:3] == [
        "- {'funds': True, 'version': 1}",
        "+ {'funds': 0, 'version': 1}",
    ]
    assert "Account has no attribute 'fund'" in failure(lambda: given(Account).shows(fund=0))


def test_given_takes_what_a_store_takes() -> None:
    with pytest.raises(InvalidEvent):
        given(Account, Event("deposit", {"id": 1}))
    with pytest.raises(InvalidArgument, match="version 3 of 'example' follows version 1"):
        given(Account, CREATE, Recorded("example", 3, "deposit", {"amount": 1}, "9-0"))
    with pytest.raises(InvalidArgument, match="an event at 1-0 follows one at 1-0"):
        given(Account, CREATE, Recorded("example", 2, "deposit", {"amount": 1}, "1-0"))


def test_given_recorded_keeps_its_time() -> None:
    at = Recorded("example", 1, "create", {}, "1551312621884-0")
    assert given(Account, at, DEPOSIT).load().position == "1551312621885-0"
