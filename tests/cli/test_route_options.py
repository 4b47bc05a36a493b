"""``eventlab route``: its settings, its options, and what happens when a server is down."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from eventlab.cli import route as command_route
from eventlab.cli.arguments import day
from eventlab.mailroom.errors import SettingsMissing
from eventlab.mailroom.settings import Settings
from eventlab.mailroom.summary import Summary
from eventlab.mailroom.variables import VARIABLES
from eventlab.sandbox.fakes import Fakes
from eventlab.sandbox.faults import Fault
from eventlab.servers.binaries import find_redis
from tests.cli.routes import run
from tests.support.crash_servers import RedisServer
from tests.support.mailroom import ITEMS, mail

pytestmark = pytest.mark.usefixtures("prompt_disk")

# ---------------------------------------------------------------------------------------- settings

NEEDED = ("GMAIL_TOKEN", "GMAIL_CLIENT", "CXONE_CLIENT", "CXONE_KEY")
NAMED = ", ".join(f"EVENTLAB_{name}" for name in NEEDED)


def test_all_missing_settings_are_named_at_once_by_route_and_doctor(route: Any) -> None:
    empty = {f"EVENTLAB_{name}": "" for name in NEEDED}
    status, out, error = route(**empty)
    assert (status, out) == (1, "")
    assert error == (
        f"eventlab: {NAMED}: they are missing: set them (eventlab route --help explains each of"
        " them), or try --sandbox, which needs no settings\n"
    )
    _, out, _ = run("doctor", "--for", "mailroom", EVENTLAB_CXONE_POC="Support")
    [line] = [line for line in out.splitlines() if "mail settings" in line]
    assert "EVENTLAB_GMAIL_TOKEN, EVENTLAB_GMAIL_CLIENT, EVENTLAB_CXONE_CLIENT" in line


@pytest.mark.parametrize(
    ("auth", "missing"),
    [
        ("legacy", ("CXONE_KEY", "CXONE_SECRET", "CXONE_POC")),
        ("accesskey", ("CXONE_URL", "CXONE_KEY", "CXONE_SECRET", "CXONE_POC")),
        (
            "oidc",
            ("CXONE_CLIENT", "CXONE_CLIENT_SECRET", "CXONE_KEY", "CXONE_SECRET", "CXONE_POC"),
        ),
    ],
)
def test_missing_settings_depend_on_the_way_to_sign_in(auth: str, missing: tuple[str, ...]) -> None:
    with pytest.raises(SettingsMissing) as raised:
        Settings.from_environment({"EVENTLAB_CXONE_AUTH": auth})
    expected = [f"EVENTLAB_{name}" for name in ("GMAIL_TOKEN", "GMAIL_CLIENT", *missing)]
    assert list(raised.value.names) == expected
    assert raised.value.name == "EVENTLAB_GMAIL_TOKEN"


def test_wrong_rules_are_named_in_one_sentence(route: Any) -> None:
    for name, value, problem in (
        ("EVENTLAB_CXONE_POC", "a=A, @=B, x@shop.example=X", "there is no *=NAME"),
        ("EVENTLAB_BLOCKLIST", "spam", "not an address or an @domain: 'spam'"),
        ("EVENTLAB_SENDER_CAP", "lots", "a whole number"),
    ):
        status, out, error = route(**{name: value})
        assert (status, out, error.count("\n")) == (1, "", 1)
        assert error.startswith(f"eventlab: {name}: ")
        assert problem in error


def test_rules_of_the_environment_are_applied(both: Fakes, route: Any) -> None:
    both.gmail.deliver(mail(sender="spam@x.example"))
    both.gmail.deliver(mail())
    both.gmail.deliver(mail())
    status, out, _ = route(
        EVENTLAB_BLOCKLIST="@x.example",
        EVENTLAB_SENDER_CAP="1",
        EVENTLAB_CXONE_POC="x@shop.example=X, *=mail",
    )
    assert (status, out) == (
        0,
        "listed 3, new 3: submitted 1, held 1, refused 0, skipped 1; 1 held for review in total"
        " (eventlab route --held)\n",
    )


def test_nothing_that_route_starts_inherits_a_secret(
    tmp_path: Path, both: Fakes, category: str
) -> None:
    """The first program that starts writes down its environment."""
    seen = tmp_path / "environment"
    program = tmp_path / "redis-server"
    real = find_redis()
    assignments = " ".join(f"{name}='{value}'" for name, value in real.env.items())
    program.write_text(f'#!/bin/sh\nenv >> {seen}\nexec env {assignments} {real.path} "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    status, _, error = run(
        "route",
        "--data",
        str(tmp_path / "data"),
        **{
            **both.environment(),
            "EVENTLAB_REDIS_SERVER": str(program),
            "EVENTLAB_CXONE_SECRET": "CanarySecret",
            "EVENTLAB_GRACE": "0",
        },
    )
    assert status in (0, 1), error
    inherited = {line.partition("=")[0] for line in seen.read_text().splitlines()}
    assert "PATH" in inherited
    assert inherited & VARIABLES.keys() == set()
    assert "CanarySecret" not in seen.read_text()


# ----------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--label", ""), "argument --label: the label name is empty"),
        (("--label", "  "), "argument --label: the label name is empty"),
        (
            ("--since", "yesterday"),
            "argument --since: 'yesterday' is not a date such as 2026-01-31",
        ),
        (("--since", "2026-02-30"), "'2026-02-30' is not a date"),
        (("--since", "1969-12-31"), "'1969-12-31' is not a date"),
        (("--json", "--confirm", "18f0"), "--json has no effect with --confirm"),
    ],
)
def test_option_that_makes_no_sense_is_rejected(words: tuple[str, ...], problem: str) -> None:
    status, out, error = run("route", *words)
    assert (status, out) == (2, "")
    assert problem in error


def test_since_is_a_day_in_utc(both: Fakes, route: Any) -> None:
    assert day("2026-01-31").isoformat() == "2026-01-31T00:00:00+00:00"
    both.gmail.deliver(mail(), internal_date_ms=int(day("2026-01-31").timestamp() * 1000) - 1)
    both.gmail.deliver(mail(), internal_date_ms=int(day("2026-01-31").timestamp() * 1000))
    assert route("--since", "2026-01-31")[1].startswith("listed 1, new 1: submitted 1")


def test_first_round_with_real_servers_asks_for_a_first_day(
    monkeypatch: pytest.MonkeyPatch, both: Fakes
) -> None:
    """A server on this machine counts as a fake, so check the argument that is passed."""
    settings = both.settings()
    assert settings.is_trial
    passed: dict[str, Any] = {}
    monkeypatch.setattr(
        "eventlab.mailroom.router.Router", lambda *_arguments, **options: passed.update(options)
    )
    for trial, expected in ((True, None), (False, 100)):
        monkeypatch.setattr(Settings, "is_trial", trial)
        arguments = command_route.argparse.Namespace(label=None, since=None, consent="browser")
        with command_route._router(arguments, settings, None):  # type: ignore[arg-type]
            assert passed["max_old"] == expected


def test_json_prints_the_summary_of_a_round(both: Fakes, route: Any) -> None:
    both.gmail.deliver(mail())
    status, out, _ = route("--json")
    assert status == 0
    assert Summary(**json.loads(out)) == Summary(listed=1, new=1, submitted=1)
    assert out.count("\n") == 1
    [id] = [both.gmail.deliver(mail())]
    both.cxone.faults.order(Fault(on=ITEMS, drop="before"))
    assert json.loads(route("--json", "--once")[1])["held"] == 1
    assert json.loads(route("--json", "--resend", id)[1])["submitted"] == 1


def test_confirm_labels_the_mail(both: Fakes, route: Any) -> None:
    id, other = (both.gmail.deliver(mail(n)) for n in range(2))
    both.cxone.faults.order(Fault(on=ITEMS, drop="after", times=2))
    route("--once", "--label", "routed")
    assert route("--confirm", id, "--label", "routed", "--contact", "7")[:2] == (
        0,
        f"email {id}: confirmed, contact 7\n",
    )
    [label] = [one["id"] for one in both.gmail.mailbox.labels() if one["name"] == "routed"]
    assert label in both.gmail.mailbox.get(id).label_ids
    assert label not in both.gmail.mailbox.get(other).label_ids
    # Without a label neither Gmail nor its settings are needed; a rejected decision labels nothing.
    assert route("--confirm", other, EVENTLAB_GMAIL_TOKEN="")[0] == 0
    status, out, error = route("--confirm", "18f0", "--label", "routed")
    assert (status, out, error) == (
        1,
        "",
        "eventlab: email 18f0: no such email has been received\n",
    )


# ----------------------------------------------------------------------------------------- outages


def test_route_ends_with_one_sentence_when_redis_does_not_answer(route: Any) -> None:
    nobody = "redis://127.0.0.1:1"
    status, out, error = route("--once", EVENTLAB_REDIS_URL=nobody)
    assert (status, out, error.count("\n")) == (1, "", 1)
    assert error.startswith("eventlab: ")
    assert "EVENTLAB_REDIS_URL" in error


@pytest.mark.parametrize("option", ["--once", "--held"])
def test_route_ends_with_one_sentence_when_redis_cannot_be_written(
    tmp_path: Path, both: Fakes, route: Any, option: str
) -> None:
    both.gmail.deliver(mail())
    server = RedisServer(tmp_path)
    try:
        with server.client() as client:
            client.replicaof("127.0.0.1", "1")
        status, out, error = route(option, EVENTLAB_REDIS_URL=server.url)
        sentences = [line for line in error.splitlines() if line.startswith("eventlab: ")]
        if option == "--held":
            assert (status, out) == (0, "no email is held, in doubt, refused or being sent\n")
        else:
            assert (status, out, len(sentences)) == (1, "", 1)
            assert "Redis is unavailable" in sentences[0]
        with server.client() as client:
            client.replicaof("NO", "ONE")
        assert route("--once", EVENTLAB_REDIS_URL=server.url)[0] == 0
    finally:
        server.kill()
    assert len(both.cxone.work_items) == 1
