"""The original's clients and its projector work with this service."""

from __future__ import annotations

import json
from typing import Any

import redis
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from eventlab.servers import Lab
from tests.support.accounts_api import (
    Served,
    serving,
)


def test_original_s_walkthrough_works(api: Served) -> None:
    made = api.post("/accounts", {"id": "JohnDoe"})
    assert (made.status_code, made.text) == (201, '{"id":"JohnDoe"}')
    assert (made.headers["Location"], made.headers["ETag"]) == ("/accounts/JohnDoe", '"1"')
    first = api.get("/accounts/JohnDoe")
    position = api.store.read("JohnDoe")[0].position
    assert (first.status_code, first.headers["Content-Type"]) == (200, "application/json")
    assert first.text == f'{{"id":"JohnDoe","version":1,"timestamp":"{position}","funds":0}}'
    for path in ("deposits", "withdrawals"):
        moved = api.post(f"/accounts/JohnDoe/{path}", {"amount": 100})
        assert (moved.status_code, moved.text) == (200, '{"id":"JohnDoe","amount":100}')
    last = api.get("/accounts/JohnDoe")
    assert last.json() == {
        "id": "JohnDoe",
        "version": 3,
        "timestamp": api.store.read("JohnDoe")[2].position,
        "funds": 0,
    }


class OriginalProjector:
    """The original's projector: an upsert per event, unless it has seen the timestamp."""

    def __init__(self, client: redis.Redis, stream: str, documents: Any) -> None:
        self._client, self._stream, self._documents = client, stream, documents
        client.xgroup_create(stream, "accountStreamGroup", id="0")

    def run(self) -> None:
        """Read, update and acknowledge until nothing is left."""
        while batch := self._client.xreadgroup(
            "accountStreamGroup", "accountProjector", {self._stream: ">"}, count=7
        ):
            for position, fields in batch[0][1]:
                name, text = next(iter(fields.items()))
                assert name == b"event"
                for _ in range(2):  # at least once is what a group delivers
                    self._update(json.loads(text) | {"timestamp": position.decode()})
                self._client.xack(self._stream, "accountStreamGroup", position)

    def _update(self, event: dict[str, Any]) -> None:
        sign = {"create": 0, "deposit": 1, "withdraw": -1}[event["type"]]
        known = {
            "_id": event["id"],
            "timestamps": {"$not": {"$elemMatch": {"$eq": event["timestamp"]}}},
        }
        change = {
            "$inc": {"funds": sign * event.get("amount", 0)},
            "$addToSet": {"timestamps": event["timestamp"]},
        }
        try:
            self._documents.update_one(known, change, upsert=True)
        except DuplicateKeyError:
            self._documents.update_one(known, change)


def test_original_s_projector_builds_the_same_funds(
    lab: Lab, redis_client: redis.Redis, category: str, mongo: Database[dict[str, Any]]
) -> None:
    with serving(lab, category) as api:
        for id, moves in {"JohnDoe": [100, -100], "Jane": [5, 7, -3], "Jo": []}.items():
            api.post("/accounts", {"id": id})
            for amount in moves:
                path = "deposits" if amount > 0 else "withdrawals"
                assert api.post(f"/accounts/{id}/{path}", {"amount": abs(amount)}).ok
        documents = mongo[f"{category}_original"]
        OriginalProjector(redis_client, category, documents).run()
        found = {one["_id"]: (one["funds"], len(one["timestamps"])) for one in documents.find()}
        assert found == {"JohnDoe": (0, 3), "Jane": (9, 4), "Jo": (0, 1)}
        assert {id: api.get(f"/accounts/{id}").json()["funds"] for id in found} == {
            "JohnDoe": 0,
            "Jane": 9,
            "Jo": 0,
        }


def test_original_s_content_type_is_accepted(api: Served) -> None:
    kind = {"Content-Type": "application/json; charset=utf-8"}
    assert api.raw("POST", "/accounts", b'{"id":"original"}', **kind)[0] == 201
