"""Traffic with Redis is counted: round trips, and elements of the replies."""

from __future__ import annotations

import threading

import redis

from eventlab.lessons import traffic


def test_traffic_counts_a_command_as_one_round_trip(redis_client: redis.Redis) -> None:
    redis_client.ping()  # the connection is made here, with commands of its own
    with traffic() as counted:
        redis_client.ping()
        redis_client.ping()
    assert counted.round_trips == 2


def test_traffic_counts_a_pipeline_as_one_round_trip(redis_client: redis.Redis) -> None:
    redis_client.ping()
    with traffic() as counted, redis_client.pipeline() as pipeline:
        pipeline.ping().ping().ping().execute()
    assert counted.round_trips == 1


def test_traffic_counts_the_elements_of_a_list(redis_client: redis.Redis, category: str) -> None:
    redis_client.rpush(category, *range(7))
    with traffic() as counted:
        assert len(redis_client.lrange(category, 0, -1)) == 7
    assert counted.elements == 7


def test_traffic_of_another_thread_is_not_counted(redis_client: redis.Redis) -> None:
    with traffic() as counted:
        other = threading.Thread(target=redis_client.ping)
        other.start()
        other.join()
    assert counted.round_trips == 0


def test_traffic_is_no_longer_counted_after_the_block(redis_client: redis.Redis) -> None:
    with traffic() as counted:
        redis_client.ping()
    before = counted.round_trips
    redis_client.ping()
    assert counted.round_trips == before
