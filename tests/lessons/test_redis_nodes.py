"""The Redis servers of page 12: a killed server keeps what the operating system has."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventlab.lessons.redis_nodes import one_redis

EVERYSEC = ("--save", "", "--appendonly", "yes", "--appendfsync", "everysec")
IN_MEMORY = ("--save", "", "--appendonly", "no")


@pytest.mark.parametrize(("options", "kept"), [(EVERYSEC, "1"), (IN_MEMORY, None)])
def test_killed_redis_keeps_what_the_operating_system_has(
    tmp_path: Path, options: tuple[str, ...], kept: str | None
) -> None:
    with one_redis(tmp_path / "redis", *options) as node:
        node.client.set("a", 1)
        node.wait_until_written()
        node.kill()
        node.start()
        assert node.client.get("a") == kept


def test_wait_until_written_waits_for_the_bytes_that_redis_holds_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis holds bytes back while the disk is busy; here, its answers are scripted."""
    held_back = [200, 100, 0]
    with one_redis(tmp_path / "redis", *EVERYSEC) as node:
        monkeypatch.setattr(
            node.client, "info", lambda _section: {"aof_buffer_length": held_back.pop(0)}
        )
        node.wait_until_written()
    assert held_back == []
