"""``eventlab route`` and ``eventlab sandbox`` as processes: what they print and how they end."""

from __future__ import annotations

import json
import re
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import redis

from eventlab import EventStore
from eventlab.mailroom.names import REAL_NAMES, SANDBOX_NAMES, default_names
from eventlab.mailroom.settings import Settings
from eventlab.mailroom.variables import VARIABLES
from eventlab.mailroom.work_item import WorkItem
from eventlab.sandbox.fakes import Fakes
from eventlab.sandbox.faults import Fault
from eventlab.sandbox.samples import samples
from tests.cli.routes import run, start
from tests.support.mailroom import ITEMS, mail
from tests.support.servers import line_of
from tests.support.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.usefixtures("prompt_disk")

INBOX = [sample.gmail_id for sample in samples() if "INBOX" in sample.label_ids]
LEFT = "held for review in total (eventlab route --held)\n"


def test_route_with_the_sandbox_needs_no_settings_and_routes_each_mail_once(
    redis_client: redis.Redis, category: str, mongo: Any
) -> None:
    own = ("route", "--once", "--sandbox", "--category", category, "--collection", category)
    status, out, error = run(*own)
    count = len(INBOX)
    skipped = sum("reaction" in sample.name for sample in samples())
    routed = count - skipped
    summary = f"submitted {routed}, held 0, refused 0, skipped {skipped}"
    assert (status, out) == (0, f"listed {count}, new {count}: {summary}\n")
    assert "fake servers for Gmail and CXone, with sample emails" in error
    assert run(*own)[:2] == (
        0,
        "listed 0, nothing new: submitted 0, held 0, refused 0, skipped 0\n",
    )
    assert mongo[category].count_documents({"state": "submitted"}) == routed
    assert set(EventStore(redis_client, category).ids()) == {*INBOX, "mailbox"}


def test_sandbox_mails_are_kept_apart_from_real_ones(both: Fakes) -> None:
    assert both.settings().names == SANDBOX_NAMES
    real = Settings.from_environment(
        {
            **both.environment(),
            "EVENTLAB_GMAIL_ENDPOINT": "",
            "EVENTLAB_CXONE_URL": "https://cxone.niceincontact.com",
        }
    )
    assert real.names == REAL_NAMES
    # Real mail in a trial with a fake CXone: no agent sees it, so it is not recorded as routed.
    trial = {**both.environment(), "EVENTLAB_GMAIL_ENDPOINT": "https://gmail.googleapis.com"}
    assert Settings.from_environment(trial).names == SANDBOX_NAMES
    assert default_names(trial) == SANDBOX_NAMES
    assert default_names({}) == REAL_NAMES
    assert not set(REAL_NAMES) & set(SANDBOX_NAMES)


def test_sandbox_serves_another_terminal_until_a_signal(
    category: str,
) -> None:
    with start("sandbox") as process:
        assert process.stdout is not None
        lines = [line_of(process) for _ in range(13)]
        exported = dict(
            line.removeprefix("export ").split("=", 1)
            for line in lines
            if line.startswith("export ")
        )
        assert re.fullmatch(r"# Gmail http://127\.0\.0\.1:\d+", lines[0])
        assert exported.keys() <= VARIABLES.keys()
        status, out, _ = run(
            "route", "--once", "--category", category, "--collection", category, **exported
        )
        assert (status, out.split(":")[0]) == (0, f"listed {len(INBOX)}, new {len(INBOX)}")
        token = Path(exported["EVENTLAB_GMAIL_TOKEN"])
        assert token.exists()
        process.send_signal(signal.SIGINT)
        assert process.wait(40) == 0
    assert not token.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_watch_routes_new_mails_until_a_signal(
    both: Fakes, category: str, number: signal.Signals
) -> None:
    own = ("route", "--watch", "0.05", "--category", category, "--collection", category)
    both.gmail.deliver(mail())
    with start(*own, **both.environment()) as process:
        assert line_of(process) == "listed 1, new 1: submitted 1, held 0, refused 0, skipped 0"
        both.gmail.deliver(mail())
        while (line := line_of(process)).startswith("listed 0, nothing new"):
            pass
        assert line == "listed 1, new 1: submitted 1, held 0, refused 0, skipped 0"
        process.send_signal(number)
        _out, error = process.communicate(timeout=40)
        assert (process.returncode, "Traceback" in error) == (0, False)
    assert len(both.cxone.work_items) == 2


def threads_of(pid: int) -> set[str]:
    return {each.name for each in Path(f"/proc/{pid}/task").iterdir()}


def test_round_finishes_the_current_mail_when_it_is_stopped(
    both: Fakes, route: Any, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        both.gmail.deliver(mail(n))
    stopping = threading.Event()
    take = both.cxone.faults.take

    def hold_until_it_is_stopping(request: str) -> Fault | None:
        fault = take(request)
        if ITEMS in request:
            stopping.wait(PATIENCE_SECONDS)
        return fault

    monkeypatch.setattr(both.cxone.faults, "take", hold_until_it_is_stopping)
    own = ("route", "--once", "--category", category, "--collection", category)
    with start(*own, **both.environment()) as process:
        try:
            wait_until(lambda: both.cxone.faults.seen(ITEMS))
            before = threads_of(process.pid)
            process.terminate()
            # The thread that waits for a signal ends once it has told the router to stop.
            wait_until(lambda: before - threads_of(process.pid))
        finally:
            stopping.set()
        out, error = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, "Traceback" in error) == (1, False)
    assert out == (
        "listed 5, new 5: submitted 1, held 0, refused 0, skipped 0; 4 to be sent later; "
        "stopped early: the router was stopped\n"
    )
    assert (
        route("--once")[1] == "listed 0, nothing new: submitted 4, held 0, refused 0, skipped 0\n"
    )
    assert len(both.cxone.work_items) == 5


def test_held_lists_the_mails_that_an_operator_decides_about(
    both: Fakes, route: Any, category: str, redis_client: Any
) -> None:
    ids = [both.gmail.deliver(mail(n)) for n in range(3)]
    both.cxone.faults.order(Fault(on=ITEMS, drop="before"), Fault(on=ITEMS, drop="after"))
    both.cxone.faults.order(
        Fault(
            on=ITEMS,
            status=400,
            headers=(("icStatusDescription", "Point of contact is not valid"),),
        )
    )
    status, out, _ = route()
    assert (status, out) == (
        0,
        f"listed 3, new 3: submitted 0, held 2, refused 1, skipped 0; 2 {LEFT}",
    )
    status, out, _ = route("--held")
    assert [line.split()[0] for line in out.splitlines()] == ids
    assert (
        "in doubt   example.com              the connection ended before the response arrived"
        in out
    )
    assert "refused    example.com              Point of contact is not valid" in out
    held = json.loads(route("--held", "--json")[1])
    assert [(mail["id"], mail["status"]) for mail in held] == list(
        zip(ids, ("in_doubt", "in_doubt", "refused"), strict=True)
    )
    assert held[2] == {
        "id": ids[2],
        "status": "refused",
        "domain": "example.com",
        "reason": "Point of contact is not valid",
        "deadline_seconds": None,
    }
    assert route("--resend", ids[0])[:2] == (
        0, f"listed 0, nothing new: submitted 1, held 0, refused 0, skipped 0; 1 {LEFT}"
    )  # fmt: skip
    taken = both.cxone.work_items[0].contact_id
    assert route("--confirm", ids[1], "--contact", taken)[:2] == (
        0,
        f"email {ids[1]}: confirmed, contact {taken}\n",
    )
    assert (
        WorkItem(ids[1]).replay(EventStore(redis_client, category).read(ids[1])).contact_id == taken
    )
    status, out, error = route("--confirm", ids[2])
    assert (status, out, error) == (1, "", f"eventlab: email {ids[2]}: CXone rejected it\n")
    status, _, error = route("--resend", "18f0")
    assert (status, error) == (1, "eventlab: email 18f0: no such email has been received\n")
    assert route("--resend", ids[2])[0] == 0
    assert route("--held")[1] == "no email is held, in doubt, refused or being sent\n"
    assert sorted(item.work_item_id for item in both.cxone.work_items) == [
        f"gmail:{id}" for id in ids
    ]


def test_mail_before_its_deadline_is_listed_and_cannot_be_decided(
    route: Any, category: str, redis_client: redis.Redis
) -> None:
    store, item = EventStore(redis_client, category), WorkItem("18f0000000000001")
    item.receive({"date": 5, "domain": "example.com"})
    item.submit(router="north", now=0, deadline=99_999_999_999_999)
    store.append(item.id, item.changes, expected=0)
    _, out, _ = route("--held")
    assert re.search(
        r"^18f0000000000001 .* router north is sending it; its deadline is in \d+ s$", out
    )
    for option in ("--resend", "--confirm"):
        status, _, error = route(option, item.id)
        assert status == 1
        assert "router north may still be sending it: wait for its deadline" in error
    assert store.version(item.id) == 2


def test_revoked_token_ends_in_one_sentence(both: Fakes, route: Any) -> None:
    both.gmail.revoke()
    both.gmail.expire_tokens()
    status, out, error = route("--once")
    assert (status, out) == (1, "")
    assert error.startswith("eventlab: Gmail's token has expired or been revoked")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("EVENTLAB_GMAIL_TOKEN", "", "it is missing"),
        (
            "EVENTLAB_GMAIL_ENDPOINT",
            "http://gmail.example.com",
            "http is allowed only for this machine",
        ),
        ("EVENTLAB_GMAIL_ENDPOINT", "nonsense", "it must be a URL"),
        ("EVENTLAB_CXONE_URL", "http://cxone.example.com", "http is allowed only for this machine"),
        ("EVENTLAB_CXONE_AUTH", "basic", "it must be one of"),
        ("EVENTLAB_CXONE_SECRET", "", "it is missing"),
        ("EVENTLAB_CXONE_VERSION", "newest", "it must look like v30.0"),
        ("EVENTLAB_GMAIL_TOKEN", "missing/token.json", ""),
    ],
)
def test_invalid_setting_is_named_in_one_sentence(
    route: Any, name: str, value: str, problem: str
) -> None:
    more = {"EVENTLAB_GMAIL_CLIENT": ""} if value.startswith("missing") else {}
    status, out, error = route("--once", **{name: value}, **more)
    assert (status, out) == (1, "")
    assert error.startswith(f"eventlab: {'EVENTLAB_GMAIL_CLIENT' if more else name}: {problem}")
    assert error.count("\n") == 1


def test_sample_mails_never_go_to_the_real_cxone(route: Any) -> None:
    status, _, error = route("--once", EVENTLAB_CXONE_URL="https://cxone.niceincontact.com")
    assert status == 1
    assert "sample emails must not reach real agents" in error


def test_rejected_key_is_reported_in_the_summary_and_by_the_exit_status(
    both: Fakes, route: Any
) -> None:
    both.gmail.deliver(mail())
    status, out, _ = route("--once", EVENTLAB_CXONE_SECRET="wrong")
    assert status == 1
    assert out.startswith(
        "listed 1, new 1: submitted 0, held 0, refused 0, skipped 0; 1 to be sent later;"
        " stopped early: "
    )
    assert route("--once")[:2] == (
        0,
        "listed 0, nothing new: submitted 1, held 0, refused 0, skipped 0\n",
    )


def test_help_lists_every_environment_variable() -> None:
    status, out, _ = run("route", "--help")
    assert status == 0
    for name, variable in VARIABLES.items():
        assert re.search(rf"^  {name} +{re.escape(str(variable))}$", out, re.MULTILINE)
    asked = {"GMAIL_ENDPOINT", "GMAIL_CLIENT", "GMAIL_TOKEN"} | {
        f"CXONE_{word}" for word in ("AUTH", "URL", "KEY", "SECRET", "POC", "VERSION")
    }
    assert VARIABLES.keys() >= {f"EVENTLAB_{word}" for word in asked}


def test_output_and_logs_hold_no_secret_and_no_mail(both: Fakes, route: Any) -> None:
    both.gmail.deliver(mail(sender="canary@example.com", body="CanaryBody"))
    _, out, error = route("--once", "--verbose", "--label", "routed")
    printed = out + error
    assert "email 18f" in printed
    known = both.cxone.credentials
    hidden = [
        known.key,
        known.secret,
        known.client_secret,
        both.gmail.tokens.client_secret,
        "canary",
        "CanaryBody",
    ]
    assert [text for text in hidden if text.casefold() in printed.casefold()] == []
    assert "letter 0" not in printed
