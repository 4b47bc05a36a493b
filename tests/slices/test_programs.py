"""The commands and the backup find the slices of a category by themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests

from eventlab import (
    FORGOTTEN,
    NEW,
    Event,
    EventStore,
    PersonKeys,
    Projector,
    Protection,
    settings,
)
from eventlab.accounts import AccountService, AccountView
from eventlab.accounts.http.app import create_app
from eventlab.archive.backup import backup
from eventlab.archive.errors import BackupMismatch
from eventlab.archive.restore import restore
from eventlab.cli.main import main
from eventlab.servers import Lab
from eventlab.slices.store import stored_slices
from eventlab.store.slices import slice_number
from tests.support.accounts_api import in_a_thread
from tests.support.store import fill

IDS = [f"account{number}" for number in range(100)]


@pytest.fixture
def store(lab: Lab, category: str) -> EventStore:
    store = EventStore(lab.redis, category, slices=64)
    for id in IDS:
        fill(store, 2, id, amount=5)
    return store


@pytest.mark.usefixtures("store")
def test_commands_find_the_slices(
    category: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.CATEGORY, category)
    monkeypatch.setenv(settings.COLLECTION, category)
    assert main(["watch", "--after", "0-0", "--once", "--json"]) == 0
    seen = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(seen) == 3 * len(IDS)
    assert [row["version"] for row in seen if row["id"] == "account7"] == [1, 2, 3]
    assert main(["show", "account7", "--category", category, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["events"]) == 3
    assert main(["project", "--status", "--view", "accounts", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["events_behind"] == 3 * len(IDS)
    assert main(["project", "--rebuild", "accounts"]) == 0
    assert "rebuilt from 300 events" in capsys.readouterr().out


def test_backup_is_restored_into_slices(
    lab: Lab, store: EventStore, category: str, tmp_path: Path
) -> None:
    saved = backup(store, tmp_path / "b")
    assert (saved.new, saved.events, saved.position) == (300, 300, store.head())
    fill(store, 1, "late")
    assert backup(store, tmp_path / "b").new == 2
    other = EventStore(lab.redis, f"{category}-other", slices=64)
    with pytest.raises(BackupMismatch):
        restore(other, tmp_path)
    events = {id: store.read(id) for id in store.ids()}
    store.drop()
    assert main(["restore", str(tmp_path / "b"), "--category", category]) == 0
    assert {id: store.read(id) for id in store.ids()} == events
    assert stored_slices(lab.redis, category) == 64
    fill(store, 1, "after")
    with Projector(store, lab.mongo, AccountView(category)) as projector:
        assert projector.catch_up() == 304


def test_forget_makes_a_person_unreadable_in_every_slice(
    lab: Lab, category: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = PersonKeys(lab.redis, f"{category}Keys")
    protection = Protection(
        keys, {"commented": ["text"]}, person=lambda _, event: str(event.data["author"])
    )
    store = EventStore(lab.redis, category, slices=64, protection=protection)
    for id in ("post-1", "post-2", "post-3"):
        texts = [("ann", "hers"), ("ben", "his")]
        events = [Event("commented", {"author": who, "text": text}) for who, text in texts]
        store.append(id, events, expected=NEW)
    assert len({slice_number(id) for id in store.ids()}) == 3
    assert main(["forget", "ann", "--keys", f"{category}Keys"]) == 0
    assert capsys.readouterr().out.startswith("ann: the key is destroyed")
    seen = [(event.data["author"], event.data["text"]) for event in store.read_all()]
    assert sorted(seen) == [("ann", FORGOTTEN)] * 3 + [("ben", "his")] * 3


def test_service_checks_a_slice(store: EventStore) -> None:
    AccountService(store).check()


def test_service_rejects_a_transfer_between_slices(store: EventStore) -> None:
    one, *others = IDS
    far = next(id for id in others if slice_number(id) != slice_number(one))
    before = store.version(one), store.version(far)
    with in_a_thread(create_app(AccountService(store))) as url:
        body = {"from": one, "to": far, "amount": 1}
        response = requests.post(f"{url}/transfers", json=body, timeout=30)
    assert response.status_code == 400
    assert "as in 'customer7/account1'" in response.json()["errorMessage"]
    assert (store.version(one), store.version(far)) == before
