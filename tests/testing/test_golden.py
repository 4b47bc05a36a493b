"""Golden events: a file of samples that grows on purpose, and is read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventlab import Event, Recorded
from eventlab.accounts.account import Account
from eventlab.accounts.views import AccountView
from eventlab.testing.golden import check_golden, golden_events

WRITTEN = [Event("create"), Event("deposit", {"amount": 5}), Event("deposit", {"amount": 7})]
READERS = [Account, AccountView()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "golden.jsonl"
    check_golden(path, readers=READERS, written=WRITTEN, update=True)
    return path


def test_update_adds_one_sample_for_each_shape(path: Path) -> None:
    assert golden_events(path) == WRITTEN[:2]
    check_golden(path, readers=READERS, written=WRITTEN)


@pytest.mark.parametrize(
    "event", [Event("close"), Event("deposit", {"amount": 5.5}), Event("deposit", {"cents": 5})]
)
def test_new_shape_without_a_sample_fails(path: Path, event: Event) -> None:
    with pytest.raises(AssertionError, match=r"has no sample of (close|deposit)\("):
        check_golden(path, readers=[], written=[event])
    assert golden_events(path) == WRITTEN[:2]


def test_sample_that_no_longer_loads_fails_and_an_upcaster_helps(path: Path) -> None:
    with path.open("a") as file:
        file.write('{"type":"deposit","data":{"cents":100}}\n')
    with pytest.raises(
        AssertionError, match=r"Account cannot read deposit\(cents: integer\), line 3"
    ):
        check_golden(path, readers=READERS)

    def lift(event: Recorded) -> Recorded:
        if "cents" not in event.data:
            return event
        data = {"amount": event.data["cents"]}
        return Recorded(event.id, event.version, event.type, data, event.position)

    check_golden(path, readers=READERS, upcasters=[lift])
