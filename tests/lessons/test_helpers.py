"""What the pages use to lose replies, to run programs together, and to measure for a picture."""

from __future__ import annotations

from typing import Any

import pytest

from eventlab.lessons import rates, run_together, unreliable

WRITER = """
import sys
from eventlab.lessons import wait_for_start

wait_for_start()
print(sys.argv[0])
"""


def test_unreliable_loses_a_reply_after_the_server_has_executed_the_command(lab: Any) -> None:
    key = "testUnreliable"
    lab.redis.delete(key)
    with unreliable(lab.redis) as (client, connection):
        connection.lose(1, b"INCR")
        assert client.incr(key) == 2  # sent again by the client
        assert connection.lost == 1
    assert lab.redis.getdel(key) == "2"


def test_unreliable_answers_in_the_types_of_the_client(lab: Any) -> None:
    with unreliable(lab.redis) as (client, _):
        assert client.echo("words") == lab.redis.echo("words")


def test_run_together_returns_what_each_process_prints() -> None:
    assert run_together(WRITER, 2) == ["-c\n", "-c\n"]


def test_run_together_reports_a_process_that_does_not_start() -> None:
    with pytest.raises(RuntimeError, match="before it was ready"):
        run_together("import sys; sys.exit(1)", 1)


def test_rates_measures_the_ways_in_turn() -> None:
    order: list[str] = []
    found = rates({name: lambda name=name: order.append(name) for name in "ab"}, rounds=2, calls=3)
    assert "".join(order) == "aaabbbaaabbb"
    assert set(found) == {"a", "b"}
    assert min(found.values()) > 0
