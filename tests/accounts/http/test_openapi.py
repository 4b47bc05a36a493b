"""The OpenAPI document is right: schemathesis cannot provoke a response that it does not list."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from eventlab.accounts import AccountService, AccountView
from eventlab.accounts.http.app import create_app
from eventlab.projections.projector import Projector
from eventlab.servers import Lab
from tests.support.accounts_api import in_a_thread, serving

# A business rule may reject a request that the document allows: neither of them is wrong.
LINK = re.compile(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)["']""")
CHECKS = ["--checks=all", "--exclude-checks=positive_data_acceptance"]


def run(document: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run schemathesis once, with its report in ``folder/report.ndjson``."""
    script = Path(sys.executable).parent / "schemathesis"
    command = [
        str(script),
        "run",
        document,
        *CHECKS,
        "--generation-deterministic",
        "--max-examples=25",
    ]
    command += ["--suppress-health-check=all", "--request-timeout=60"]
    command += [f"--report-ndjson-path={folder}/report.ndjson"]
    return subprocess.run(
        [*command, *options], cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )


def status_codes(folder: Path) -> set[int]:
    """Return the status codes that the service sent."""
    codes: set[int] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("status_code"), int):
                codes.add(value["status_code"])
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    for line in (folder / "report.ndjson").read_text("utf-8").splitlines():
        walk(json.loads(line))
    return codes


@pytest.mark.long
def test_schemathesis_finds_no_5xx_and_no_undocumented_response(
    lab: Lab, category: str, tmp_path: Path
) -> None:
    with serving(lab, category) as api:
        for number in range(3):
            api.post("/accounts", {"id": f"a{number}"})
        with Projector(api.store, lab.mongo, AccountView(category)) as projector:
            projector.catch_up()
        done = run(f"{api.url}/openapi.json", tmp_path)
    assert done.returncode == 0, done.stdout
    assert "Tested: 10" in done.stdout
    codes = status_codes(tmp_path)
    assert codes >= {200, 201, 400, 404}
    assert max(codes) < 500


def test_document_lists_every_status_and_no_model_of_fastapi(lab: Lab, category: str) -> None:
    with serving(lab, category) as api:
        text = requests.get(f"{api.url}/openapi.json", timeout=30).text
        assert requests.get(f"{api.url}/docs", timeout=30).ok
    assert "ValidationError" not in text
    paths = json.loads(text)["paths"]
    codes = {
        f"{method.upper()} {path}": [int(code) for code in operation["responses"]]
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    move = [200, 400, 404, 408, 409, 412, 413, 422, 500, 503]
    assert {name: sorted(found) for name, found in codes.items()} == {
        "POST /accounts": [201, 400, 408, 409, 413, 422, 500, 503],
        "GET /accounts": [200, 400, 500, 503],
        "GET /accounts/{id}": [200, 304, 400, 404, 500, 503],
        "GET /accounts/{id}/events": [200, 400, 404, 500, 503],
        "POST /accounts/{id}/deposits": move,
        "POST /accounts/{id}/withdrawals": move,
        "POST /transfers": [200, 400, 404, 408, 409, 413, 422, 500, 503],
        "GET /healthz": [200, 400, 500, 503],
        "GET /healthz/views": [200, 400, 500, 503],
        "GET /readyz": [200, 400, 500, 503],
    }


def test_pages_load_nothing_from_another_server(service: AccountService) -> None:
    with in_a_thread(create_app(service)) as url:
        for page in ("/docs", "/redoc"):
            text = requests.get(url + page, timeout=30).text
            assert not [link for link in LINK.findall(text) if not link.startswith("/")]
            loaded = [link for link in LINK.findall(text) if link.endswith((".js", ".css"))]
            assert loaded
            for link in loaded:
                assert len(requests.get(url + link, timeout=30).content) > 100_000


def test_page_leads_to_the_document_where_the_pages_are_not_installed(
    service: AccountService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with in_a_thread(create_app(service)) as url:
        assert LINK.findall(requests.get(f"{url}/docs", timeout=30).text) == ["/openapi.json"]
        assert requests.get(f"{url}/redoc", timeout=30).status_code == 404


@pytest.mark.long
def test_schemathesis_finds_a_status_that_the_document_omits(
    lab: Lab, category: str, tmp_path: Path
) -> None:
    with serving(lab, category) as api:
        api.post("/accounts", {"id": "JohnDoe"})
        document = requests.get(f"{api.url}/openapi.json", timeout=30).json()
        for operations in document["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("404", None)
        (tmp_path / "openapi.json").write_text(json.dumps(document))
        done = run("openapi.json", tmp_path, f"--url={api.url}", "--phases=coverage,fuzzing")
    assert done.returncode == 1
    assert "404" in done.stdout
