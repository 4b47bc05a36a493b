"""The sample mails: reproducible, different from one another, and part of the wheel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from eventlab.sandbox.gmail.app import create_fake_gmail
from eventlab.sandbox.samples import samples
from tests.support.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("sandbox", "sample_mails", "eventlab")
FOLDER = ROOT / "eventlab" / "sandbox" / "sample_mails"
ADDRESS = re.compile(rb"[\w.+-]+@([\w.-]+\w)")
NOT_A_DOMAIN = {b"x"}


def test_samples_have_fixed_ids_threads_and_dates() -> None:
    first, last = samples()[0], samples()[-1]
    assert (first.name, first.gmail_id, first.internal_date_ms) == (
        "01-plain",
        "19a4000100000001",
        1_762_156_800_000,
    )
    assert (last.name, last.gmail_id) == ("72-long-thread", "19a4004800000048")
    assert samples() == samples()
    assert samples() is not samples()


def test_samples_are_the_same_in_another_process() -> None:
    code = (
        "import hashlib; from eventlab.sandbox.samples import samples\n"
        "print(hashlib.sha256(repr([(s, s.raw) for s in samples()]).encode()).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=PATIENCE_SECONDS,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


def test_samples_have_ids_like_gmails_and_increasing_dates() -> None:
    all_samples = samples()
    assert len({s.gmail_id for s in all_samples}) == len(all_samples) >= 40
    assert all(
        re.fullmatch("[0-9a-f]{16}", id) for s in all_samples for id in (s.gmail_id, s.thread_id)
    )
    dates = [s.internal_date_ms for s in all_samples]
    assert dates == sorted(set(dates))


def test_reply_is_in_the_thread_of_its_original() -> None:
    by_name = {s.name: s for s in samples()}
    thread = {by_name[name].thread_id for name in ("01-plain", "42-reply", "46-draft", "47-sent")}
    assert thread == {by_name["01-plain"].gmail_id}
    assert all(
        s.thread_id == s.gmail_id
        for s in samples()
        if s.name not in ("42-reply", "46-draft", "47-sent")
    )


def test_four_samples_are_not_in_the_inbox() -> None:
    outside = {s.name: s.label_ids[0] for s in samples() if "INBOX" not in s.label_ids}
    assert outside == {
        "46-draft": "DRAFT",
        "47-sent": "SENT",
        "48-spam": "SPAM",
        "49-trash": "TRASH",
    }


@pytest.mark.parametrize("sample", samples(), ids=lambda s: s.name)
def test_sample_has_crlf_line_ends(sample: object) -> None:
    raw: bytes = sample.raw  # type: ignore[attr-defined]
    odd = sample.name == "39-nul-and-controls"  # type: ignore[attr-defined]
    assert odd or not re.search(rb"(?<!\r)\n|\r(?!\n)", raw)


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda p: p.stem)
def test_sample_file_is_small_and_has_only_example_addresses(path: Path) -> None:
    assert path.suffix == ".eml"
    assert path.stem in {s.name for s in samples()}
    assert path.stat().st_size < 10_000
    domains = {domain.lower() for domain in ADDRESS.findall(path.read_bytes())} - NOT_A_DOMAIN
    assert {b".".join(domain.split(b".")[-2:]) for domain in domains} <= {
        b"example.com",
        b"example.org",
        b"example.net",
    }


def test_samples_are_distinct() -> None:
    assert len({s.raw for s in samples()}) == len(samples())


def test_fake_gmail_holds_all_samples() -> None:
    fake = create_fake_gmail()
    assert fake.mailbox.profile()["messagesTotal"] == len(samples())
    assert len(fake.mailbox.find(["INBOX"])) == len(samples()) - 4
    assert [mail.raw for mail in fake.mailbox.find(["DRAFT"])] == [
        s.raw for s in samples() if s.name == "46-draft"
    ]


def test_wheel_includes_every_sample() -> None:
    """Hatchling ships every file of the package that git does not ignore."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
    assert settings == {"targets": {"wheel": {"packages": ["eventlab"]}}}
    ignored = (ROOT / ".gitignore").read_text("utf-8").split()
    assert not [line for line in ignored if fnmatch("x.eml", line) or line.strip("/*") in FOLDERS]


def test_git_does_not_change_line_ends_of_samples() -> None:
    assert "*.eml -text" in (ROOT / ".gitattributes").read_text("utf-8").splitlines()
