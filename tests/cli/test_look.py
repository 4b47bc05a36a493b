"""``eventlab watch``, ``show`` and ``trace``: stored events on a terminal, and as JSON."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from eventlab import ANY, NEW, Event, EventStore
from eventlab.cli import main
from tests.support import command
from tests.support.store import deposits, fill

HOSTILE = "\x1b[2J\x9b31m\u202e\r\n"
TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ")
ACCOUNT = ["--reader", "eventlab.accounts.account:Account"]


def out(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Return the lines that a command prints, without their times."""
    assert main.main(list(words)) == 0
    return [TIME.sub("", line) for line in capsys.readouterr().out.splitlines()]


def test_watch_prints_events_as_they_come_until_ctrl_c(store: EventStore) -> None:
    fill(store, 1, "old")
    category = f"--category={store.category}"
    with command.start("watch", category, "--after", store.head()) as process:
        assert process.stdout is not None
        for amount in (5, 7):
            store.append("a", deposits(amount), expected=ANY)
            line = TIME.sub("", process.stdout.readline())
            assert line == f'a {amount // 2 - 1} deposit {{"amount": {amount}}}\n'
        process.send_signal(signal.SIGINT)
        rest, error = process.communicate(timeout=20)
    assert (process.returncode, rest, error) == (0, "", "")


def test_watch_once_prints_what_is_there(
    store: EventStore, capsys: pytest.CaptureFixture[str]
) -> None:
    events = store.append("a", [Event("create"), *deposits(5)], expected=NEW)
    store.append("b", [Event("create", {}, {"by": "me"})], expected=NEW)
    category = f"--category={store.category}"
    assert out(capsys, "watch", category, "--once") == []
    assert out(capsys, "watch", category, "--once", "--after", "0-0") == [
        "a 1 create {}",
        'a 2 deposit {"amount": 5}',
        'b 1 create {} meta {"by": "me"}',
    ]
    after = ["--after", events[0].position]
    assert out(capsys, "watch", category, "--once", "--id", "a", *after) == [
        'a 2 deposit {"amount": 5}'
    ]
    [line] = out(capsys, "watch", category, "--once", "--id=a", "--json", *after)
    row = json.loads(line)
    assert (row["id"], row["version"], row["data"]) == ("a", 2, {"amount": 5})
    assert (row["position"], row["meta"]) == (events[1].position, None)


def test_watch_names_a_corrupt_entry_and_resumes_after_it(
    store: EventStore, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(store, 1)
    at = store.redis.xadd(store.keys.stream, {"event": "{"}).decode()
    store.append("b", deposits(7), expected=ANY)
    words = ["watch", f"--category={store.category}", "--once", "--after", "0-0"]
    assert main.main(words) == 0
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 3
    assert f"no event at {at}" in printed.err


@pytest.mark.parametrize("words", [["watch", "--once", "--after", "0-0"], ["show", HOSTILE]])
def test_hostile_events_print_as_text(
    words: list[str], store: EventStore, capsys: pytest.CaptureFixture[str]
) -> None:
    event = Event(HOSTILE, {HOSTILE: HOSTILE}, {"by": HOSTILE})
    store.append(HOSTILE, [event], expected=NEW)
    for more in ([], ["--json"]):
        assert main.main([*words, f"--category={store.category}", *more]) == 0
        text = capsys.readouterr().out
        assert text.count("\n") == 1
        assert text.rstrip("\n").isprintable()


def test_show_prints_the_state_beside_each_event(
    store: EventStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.append("a", [Event("create"), *deposits(5, 7)], expected=NEW)
    words = ["show", "a", f"--category={store.category}"]
    assert out(capsys, *words, *ACCOUNT) == [
        'a 1 create {}  -> {"funds": 0}',
        'a 2 deposit {"amount": 5}  -> {"funds": 5}',
        'a 3 deposit {"amount": 7}  -> {"funds": 12}',
    ]
    assert out(capsys, *words)[0] == "a 1 create {}"
    assert out(capsys, *words, *ACCOUNT, "--last=1") == [
        "(2 earlier events: --last shows more)",
        'a 3 deposit {"amount": 7}  -> {"funds": 12}',
    ]
    [line] = out(capsys, *words, *ACCOUNT, "--last=2", "--json")
    found = json.loads(line)
    assert found["earlier"] == 1
    assert [event["state"] for event in found["events"]] == [{"funds": 5}, {"funds": 12}]


def test_show_at_a_time_leaves_out_what_came_later(
    redis_client: object, category: str, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter([1_000, 2_000, 3_000])
    store = EventStore(redis_client, category, clock=lambda: next(times))  # type: ignore[arg-type]
    for version in range(3):
        store.append("a", deposits(5), expected=version)
    words = ["show", "a", f"--category={category}", "--last=1"]
    assert out(capsys, *words, "--at=1970-01-01T00:00:02Z")[-1] == 'a 2 deposit {"amount": 5}'
    assert main.main([*words, "--at=1970-01-01T00:00:00.5Z"]) == 1
    assert "has no events in" in capsys.readouterr().err


def test_trace_prints_the_tree_of_causes(
    store: EventStore, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{store.category}/a"
    first = Event("x", {}, {"correlation_id": "r-1"})
    second = Event("y", {"n": 1}, {"correlation_id": "r-1", "causation_id": f"{name}/1"})
    store.append("a", [first, second], expected=NEW)
    words = ["trace", "r-1", f"--category={store.category}"]
    assert out(capsys, *words) == [f"{name}/1 x {{}}", f'  {name}/2 y {{"n": 1}}']
    [line] = out(capsys, *words, "--json")
    events = json.loads(line)["events"]
    assert [(event["depth"], event["name"]) for event in events] == [
        (0, f"{name}/1"), (1, f"{name}/2"),
    ]  # fmt: skip
    assert main.main(["trace", "r-9", f"--category={store.category}"]) == 1
    assert "has correlation_id 'r-9'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["watch", "--after=x"], ["show", "a", "--at=now"], ["show", "a", "--last=0"],
     ["show", "a", "--at=2026-01-01T00:00:00"], ["trace"]],
)  # fmt: skip
def test_bad_options_are_rejected(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(words)
    assert caught.value.code == 2


def test_show_rejects_a_reader_that_is_a_view(
    store: EventStore, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    reader = "eventlab.accounts.views:AccountView"
    assert main.main(["show", "a", f"--category={store.category}", "--reader", reader]) == 2
    assert "is not an Aggregate" in capsys.readouterr().err
