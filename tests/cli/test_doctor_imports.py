"""``eventlab doctor`` reports packages that cannot be imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventlab.cli import doctor
from eventlab.servers import (
    Lab,
)


@pytest.mark.parametrize(
    "error", ["ValueError('numpy.dtype size changed')", "OSError('libX.so')", "ImportError('no')"]
)
def test_doctor_reports_a_package_that_cannot_be_imported(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    (tmp_path / "ill_package.py").write_text(f"raise {error}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(doctor.PACKAGES, "lab", ("ill_package",))
    checks = doctor.examine()
    [failed] = [check for check in checks if not check.ok]
    assert failed.name == "ill_package"
    assert "pip install" in failed.remedy
    assert checks[-1].name == "MongoDB transaction"
