"""The command line as a whole: help, version, wrong arguments, and how it ends when interrupted."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

import eventlab
from eventlab.cli import doctor, main
from eventlab.lessons.ports import free_port
from eventlab.servers.directories import DATA_VARIABLE
from eventlab.servers.external import MONGODB_URL, REDIS_URL
from tests.support import interrupt
from tests.support.command import default_interrupt, run, start
from tests.support.waiting import PATIENCE_SECONDS, wait_until

COMMANDS = ("lab", "serve", "project", "route", "sandbox", "forget", "backup", "restore", "doctor")


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main.main(["--version"])
    assert capsys.readouterr().out == f"eventlab {eventlab.__version__}\n"
    with start("--version") as process:
        assert process.communicate() == (f"eventlab {eventlab.__version__}\n", "")
    assert process.returncode == 0


def test_no_command_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([]) == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: eventlab ")
    assert [name for name in COMMANDS if re.search(rf"^    {name} ", out, re.MULTILINE)] == list(
        COMMANDS
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_describes_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main.main([command, "--help"])
    out = capsys.readouterr().out
    options = dict(re.findall(r"^  (--[\w-]+)((?:.|\n {8,})*)", out, re.MULTILINE))
    assert "--data" in options
    for option, text in options.items():
        assert re.search(r"\w+ \w+", text), option


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["lab", "--port", "99999"], "--port: '99999' is not a whole number from 0 to 65535"),
        (["serve", "--port", "-1"], "--port: '-1' is not a whole number from 0 to 65535"),
        (["serve", "--port", "http"], "--port: 'http' is not a whole number from 0 to 65535"),
        (["serve", "--port", "9" * 5000], "is not a whole number from 0 to 65535"),
        (["serve", "--workers", "0"], "--workers: '0' is not a whole number from 1 to 256"),
        (["serve", "--workers", "1.5"], "--workers: '1.5' is not a whole number from 1 to 256"),
        (["sandbox", "--gmail-port", "65536"], "'65536' is not a whole number from 0 to 65535"),
        (["sandbox", "--cxone-port", "-1"], "'-1' is not a whole number from 0 to 65535"),
        (["route", "--watch", "0"], "--watch: '0' is not a number of seconds above 0"),
        (["route", "--watch", "nan"], "'nan' is not a number of seconds above 0"),
        (["route", "--watch", "inf"], "'inf' is not a number of seconds above 0"),
        (["route", "--watch", "soon"], "'soon' is not a number of seconds above 0"),
        (["route", "--once", "--held"], "not allowed with argument --once"),
        (["route", "--contact", "7"], "--contact needs --confirm"),
        (["project", "--json"], "--json needs --status"),
        (["project", "--view", "acounts"], "the views are accounts, per_day, by_type"),
        (["project", "--rebuild", "acounts"], "the views are accounts, per_day, by_type"),
        (["project", "--skip", "1-1"], "--skip works on one view: add --view NAME"),
        (
            ["project", "--skip", "1-1", "--view", "accounts", "--view", "per_day"],
            "--skip works on one view: add --view NAME",
        ),
        (
            ["project", "--rebuild", "accounts", "--view", "per_day"],
            "--rebuild accounts and --view per_day name different views: leave out --view",
        ),
        (["serve", "--collection", ""], "--collection: '' is empty"),
        (["serve", "--collection", "a$b"], "--collection: 'a$b' contains a $ or a null character"),
        (["serve", "--collection", "a\ud800"], "is not valid UTF-8"),
        (["project", "--collection", ".."], "'..' begins or ends with a dot"),
        (["project", "--collection", "system.a"], "'system.a' begins with system."),
        (["route", "--collection", "x" * 201], "is longer than 200 bytes"),
        (["doctor", "--for", "everything"], "invalid choice: 'everything'"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else "",
)
def test_wrong_arguments_are_named_before_anything_is_done(
    words: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "data"))
    try:
        status: object = main.main(words)
    except SystemExit as error:
        status = error.code
    assert status == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["serve", "--host", "no such host"],
        ["serve", "--host", "a" * 100],
        ["serve", "--host", "192.0.2.1"],
        ["serve", "--category", "a{b}"],
        ["serve", "--category", ""],
        ["project", "--status", "--category", "x" * 1000],
        ["project", "--status", "--category", b"\xff".decode("utf-8", "surrogateescape")],
        ["project", "--status", "--data", "~no-such-user"],
        ["project", "--status", "--data", os.devnull],
        ["lab", "--data", os.devnull],
        ["project", "--skip", "yesterday", "--view", "accounts"],
        ["route", "--held", "--category", "{"],
        ["route", "--confirm", "", "--contact", "7", "--sandbox"],
        ["route", "--resend", "", "--sandbox"],
        ["project", "--skip", "", "--view", "accounts"],
        ["route", "--resend", "no-such-mail", "--sandbox"],
    ],
    ids=lambda words: ascii(" ".join(words))[:60],
)
def test_arguments_that_cannot_work_end_in_one_sentence(words: list[str], category: str) -> None:
    own = [] if "--category" in words or words[0] == "lab" else ["--category", category]
    status, out, error = run(*words, *own)
    assert (status, out) == (1, "")
    assert error.splitlines()[-1].startswith("eventlab: ")
    assert "internal error" not in error


@pytest.mark.parametrize(
    ("variable", "url", "server"),
    [
        (REDIS_URL, "redis://127.0.0.1:9", "EVENTLAB_REDIS_URL"),
        (REDIS_URL, "nonsense", "EVENTLAB_REDIS_URL"),
        (MONGODB_URL, "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=10", "EVENTLAB_MONGODB_URL"),
        (MONGODB_URL, "nonsense", "EVENTLAB_MONGODB_URL"),
    ],
)
@pytest.mark.parametrize("words", [["project", "--status"], ["serve"], ["route", "--held"]])
def test_unreachable_server_is_named_in_one_sentence(
    words: list[str], variable: str, url: str, server: str
) -> None:
    status, out, error = run(*words, env={**os.environ, variable: url})
    assert (status, out) == (1, "")
    assert error.startswith("eventlab: ")
    assert error.count("\n") == 1
    assert server in error
    assert "Topology" not in error


def test_unexpected_error_is_one_sentence_and_a_traceback_in_development_mode(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(doctor, "report", broken)
    assert main.main(["doctor"]) == 1
    assert capsys.readouterr().err.startswith("eventlab: internal error (RuntimeError: broken)")
    code = """
import sys
from eventlab.cli import doctor, main
def broken(**_):
    raise RuntimeError("broken")
doctor.report = broken
sys.exit(main.main(["doctor"]))
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_reader_that_has_read_enough_is_no_error(tmp_path: Path, category: str) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        with (tmp_path / "error").open("w+") as error:
            command = [sys.executable, "-m", "eventlab", "project", "--status"]
            command.append(f"--category={category}")
            done = subprocess.run(command, stdout=write, stderr=error, check=False)
            error.seek(0)
            assert (done.returncode, error.read()) == (1, "")
    finally:
        os.close(write)


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        *((moment, ["project", "--status"]) for moment in (1, 400, 1200)),
        *((moment, ["project"]) for moment in (900, 1300)),
        *((moment, ["doctor", "--for", "serve"]) for moment in (700, 1400, 1800)),
        *((moment, ["serve", "--port", "{port}"]) for moment in (1500, 3000, 3400)),
        *((moment, ["sandbox"]) for moment in (2000, 3600, 9999)),
        *((moment, ["route", "--sandbox"]) for moment in (1900, 3000, 4300)),
        (1000, ["route", "--held"]),
        (1000, ["lab"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_ctrl_c_at_any_moment_prints_no_traceback(
    words: list[str], moment: int, category: str
) -> None:
    own = [] if words[0] in ("doctor", "sandbox", "lab") else [f"--category={category}"]
    command = [word.format(port=free_port()) for word in words] + own
    done = subprocess.run(
        [sys.executable, interrupt.__file__, str(moment), *command],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode in (0, 1, 128 + signal.SIGINT), done.stderr
    assert "Traceback" not in done.stderr


def test_sigterm_before_a_command_can_stop_prints_no_traceback(category: str) -> None:
    with start("project", "--status", f"--category={category}") as process:
        process.send_signal(signal.SIGTERM)
        _out, error = process.communicate(timeout=PATIENCE_SECONDS)
    # Before Python runs our code, the signal itself ends the process.
    assert (process.returncode, error) in (
        (-signal.SIGTERM, ""),
        (128 + signal.SIGTERM, "eventlab: interrupted\n"),
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_signal_that_an_import_swallows_still_stops_the_command(number: int) -> None:
    code = f"""
import os
from eventlab.cli import interrupts
from eventlab.cli.process import stop_on_signals

interrupts.handle()
try:
    os.kill(os.getpid(), {number})
except BaseException:
    pass
print(stop_on_signals().is_set(), interrupts.status())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=default_interrupt,
    )
    assert done.stdout == f"True {128 + number}\n", done.stderr


def test_closed_standard_output_is_no_error(category: str) -> None:
    command = [sys.executable, "-m", "eventlab", "project", "--status", f"--category={category}"]
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    done = subprocess.run(closed, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--version"], ["serve", "--help"], [], ["project", "--status"]])
def test_full_standard_output_is_named_in_one_sentence(
    words: list[str], unbuffered: str, category: str
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("only Linux has /dev/full")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "eventlab", *words],
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered, "EVENTLAB_CATEGORY": category},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    # What a command prints without a buffer fails where it prints.
    sentence = r"eventlab: (standard output: )?No space left on device\n"
    assert re.fullmatch(sentence, done.stderr), done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_help_for_a_reader_that_has_read_enough_is_no_error(unbuffered: str) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "eventlab", "--help"],
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            stdout=write,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


def answers(address: str) -> bool:
    with contextlib.suppress(requests.RequestException):
        return requests.get(f"{address}/healthz", timeout=5).ok
    return False


def test_port_0_of_serve_is_any_free_port(category: str) -> None:
    command = [sys.executable, "-m", "eventlab", "serve", "--port=0", f"--category={category}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            found = next(filter(None, (re.search(r"http://\S+", line) for line in process.stderr)))
            wait_until(lambda: answers(found[0]))
        finally:
            process.terminate()
            process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize("command", ["serve", "project"])
def test_variables_name_the_category_and_the_collection(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTLAB_CATEGORY", "myStream")
    monkeypatch.setenv("EVENTLAB_COLLECTION", "myCollection")
    assert named(command) == ("myStream", "myCollection")
    assert named(command, "--category=a", "--collection=b") == ("a", "b")
    monkeypatch.setenv("EVENTLAB_CATEGORY", "")
    monkeypatch.delenv("EVENTLAB_COLLECTION")
    assert named(command) == ("accountStream", "accountCollection")


def named(*words: str) -> tuple[str, str]:
    arguments = main.parser().parse_args(words)
    return arguments.category, arguments.collection
