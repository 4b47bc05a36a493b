"""``eventlab forget``: it destroys a person's key, and says what is left to do."""

from __future__ import annotations

import json

import pytest
import redis

from eventlab import PersonKeys
from eventlab.cli.forget import text_of
from eventlab.privacy.person_keys import Erased
from tests.support import command

pytestmark = pytest.mark.usefixtures("prompt_disk")


def test_forget_destroys_the_key_and_may_be_repeated(
    redis_client: redis.Redis, category: str
) -> None:
    PersonKeys(redis_client, category).key_for_writing("c1")
    status, out, _ = command.run("forget", "c1", "--keys", category)
    assert (status, out.splitlines()[0]) == (0, "c1: the key is destroyed")
    assert "Rebuild each view" in out
    assert PersonKeys(redis_client, category).is_forgotten("c1")
    status, out, _ = command.run("forget", "c1", "--keys", category, "--json")
    assert json.loads(out) == {"person": "c1", "had_key": False, "rewritten": True}


@pytest.mark.parametrize("words", [[""], ["x" * 1000], ["c1", "--keys", "{a}"]])
def test_forget_rejects_names_that_cannot_be_keys(words: list[str]) -> None:
    status, _, error = command.run("forget", *words)
    assert status == 2
    assert "argument" in error


def test_forget_says_that_the_key_is_still_in_the_file() -> None:
    assert "run BGREWRITEAOF" in text_of(Erased("c1", had_key=True, rewritten=False))
    assert "BGREWRITEAOF" not in text_of(Erased("c1", had_key=True, rewritten=True))
