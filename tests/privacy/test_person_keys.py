"""The keys of people: one for each, the same in all processes, destroyed for all at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from eventlab import (
    InvalidArgument,
    Lab,
    NotSettled,
    PersonForgotten,
    PersonKeys,
)
from eventlab.privacy import person_keys
from eventlab.privacy.person_keys import KEY_BYTES
from tests.support.private_redis import private_redis

MAKE_KEY = """
import sys
from redis import Redis
from eventlab import PersonKeys
redis = Redis(unix_socket_path=sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(PersonKeys(redis, sys.argv[2]).key_for_writing("c1").hex())
"""


pytestmark = pytest.mark.usefixtures("prompt_disk")


@pytest.fixture
def name(category: str) -> str:
    """The name of this test's keys."""
    return f"{category}Keys"


def test_each_person_has_one_random_key(lab: Lab, name: str) -> None:
    keys = PersonKeys(lab.redis, name)
    first = keys.key_for_writing("c1")
    assert len(first) == KEY_BYTES
    assert keys.key_for_writing("c1") == first == keys.key_for_reading("c1")
    assert keys.key_for_writing("c2") != first
    assert PersonKeys(lab.redis, name).key_for_reading("c1") == first


def test_processes_that_begin_at_once_use_one_key(tmp_path: Path) -> None:
    with private_redis(tmp_path, "--appendonly", "yes"):
        command = [sys.executable, "-c", MAKE_KEY, str(tmp_path / "r.sock"), "people"]
        writers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        made = {writer.communicate()[0].strip() for writer in writers}
    assert len(made) == 1
    assert len(made.pop()) == 2 * KEY_BYTES


def test_process_that_saw_no_key_uses_the_one_that_another_has_made(
    lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = PersonKeys(lab.redis, name, disk=0)
    known = late._known
    first_look = iter([None])
    monkeypatch.setattr(late, "_known", lambda person: next(first_look, known(person)))
    made = PersonKeys(lab.redis, name, disk=0).key_for_writing("c1")
    assert late.key_for_writing("c1") == made
    assert PersonKeys(lab.redis, name).key_for_reading("c1") == made


def test_forget_reaches_another_process_that_has_the_key_in_memory(lab: Lab, name: str) -> None:
    # Without a disk to wait for, nothing but the wait for other processes takes a second.
    keys = PersonKeys(lab.redis, name, disk=0)
    other = PersonKeys(lab.redis, name, disk=0)  # with a memory of its own, like another process
    keys.key_for_writing("c1")
    assert other.key_for_reading("c1") is not None
    keys.forget("c1", rewrite=False)
    assert other.key_for_reading("c1") is None
    with pytest.raises(PersonForgotten):
        other.key_for_writing("c1")


def test_forget_may_be_repeated_and_may_come_first(lab: Lab, name: str) -> None:
    keys = PersonKeys(lab.redis, name)
    assert keys.forget("c1").had_key is False
    assert keys.forget("c1").had_key is False
    with pytest.raises(PersonForgotten):
        keys.key_for_writing("c1")


def test_key_that_may_be_lost_is_not_used(tmp_path: Path) -> None:
    with private_redis(tmp_path, "--appendonly", "no") as redis:
        with pytest.raises(NotSettled, match="no append-only file"):
            PersonKeys(redis).key_for_writing("c1")
        assert PersonKeys(redis, disk=0).key_for_writing("c1")


def test_forget_says_that_redis_has_not_rewritten_its_file(tmp_path: Path) -> None:
    with private_redis(tmp_path, "--appendonly", "yes") as redis:
        keys = PersonKeys(redis)
        keys.key_for_writing("c1")
        assert keys.forget("c1", rewrite=False).rewritten is False
        redis.acl_setuser(
            "writer", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-bgrewriteaof"]
        )
        redis.execute_command("AUTH", "writer", "any")
        assert keys.forget("c1").rewritten is False


def test_few_keys_are_kept_in_memory(lab: Lab, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(person_keys, "CACHE_SIZE", 2)
    keys = PersonKeys(lab.redis, name, disk=0)
    made = {id: keys.key_for_writing(id) for id in ("c1", "c2", "c3")}
    assert list(keys._cache) == ["c2", "c3"]
    assert {id: keys.key_for_reading(id) for id in made} == made


def test_damaged_key_is_named(lab: Lab, name: str) -> None:
    keys = PersonKeys(lab.redis, name)
    lab.redis.hset(f"{{{name}}}/people", "c1", "short")
    with pytest.raises(InvalidArgument, match="has 5 bytes, not 64"):
        keys.key_for_reading("c1")
