"""One Redis and one MongoDB for the whole test run, in a directory of their own.

The notebooks use them too. Tests and kernels see none of the user's settings.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from pymongo.database import Database

from eventlab import EventStore, settings
from eventlab.servers import Lab, connect, starter
from tests.support import examples
from tests.support.kernels import use_sockets

#: Markers of the tests that only ``--all`` runs, and what they need.
APART = {
    "root": "root",
    "browser": "a browser",
    "crash": "several minutes to kill processes",
    "fresh": "a package index",
    "pages": "several minutes to run the notebooks again",
    "long": "a core for many seconds",
}
#: What takes longest, the longest first: at the end, no worker waits for another's long file.
LONGEST_FIRST = (
    "tests/crash/",
    "tests/browser/test_lab.py",
    "tests/notebooks/test_rules.py",
    "tests/notebooks/test_exercises.py",
    "tests/notebooks/test_own_servers.py",
    "tests/notebooks/test_failed_exercises.py",
    "tests/house/test_fresh_install.py",
    "tests/slices/test_projector.py",
    "tests/cli/test_main.py",
    "tests/benchmarks/",
    "tests/projections/test_joined.py",
    "tests/house/test_user_programs.py",
    "tests/mailroom/test_router.py",
    "tests/cli/test_route.py",
    "tests/servers/test_external.py",
    "tests/servers/test_supervisor.py",
    "tests/testing/test_contract.py",
    "tests/slices/test_upgrade.py",
    "tests/servers/test_healing.py",
    "tests/accounts/http/test_outages.py",
    "tests/accounts/http/test_openapi.py",
    "tests/cli/test_lab.py",
    "tests/cli/test_lab_port.py",
    "tests/browser/",
    "tests/cli/test_project.py",
    "tests/mailroom/mail/",
    "tests/mailroom/gmail/",
    "tests/mailroom/cxone/",
    "tests/privacy/",
    "tests/projections/test_outages.py",
    "tests/mailroom/test_outages.py",
    "notebooks/",
)
#: What a user may have set for other programs, and what would change a test or a notebook.
FOREIGN_VARIABLES = re.compile(
    r"(http|https|all|no|ftp)_proxy|EVENTLAB_\w+|MPL\w+|IPYTHON\w*|JUPYTER\w*|PYDEVD\w+"
    r"|PYTHON(WARNINGS|STARTUP|OPTIMIZE|DONTWRITEBYTECODE|UTF8|IOENCODING|_COLORS)"
    r"|COLUMNS|LINES|NO_COLOR|FORCE_COLOR|CLICOLOR\w*",
    re.IGNORECASE,
)
OWN_SERVERS = (settings.REDIS_URL, settings.MONGODB_URL, settings.ALLOW_EVICTION)
SETTINGS_FOLDERS = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")
LAB = pytest.StashKey[Lab]()
OWN = pytest.StashKey[Path]()
NOT_RUN = pytest.StashKey[Counter[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all",
        action="store_true",
        help="also run the tests that need root, a browser, or several minutes",
    )
    parser.addoption(
        "--own-servers",
        action="store_true",
        help="run notebooks on the servers that EVENTLAB_REDIS_URL and EVENTLAB_MONGODB_URL name "
        "(default: on private ones)",
    )


def pytest_configure(config: pytest.Config) -> None:
    for name, need in APART.items():
        config.addinivalue_line("markers", f"{name}: needs {need}; run with --all (make test-all)")
    config.stash[NOT_RUN] = Counter()
    examples.is_all = config.getoption("--all")
    # The tests start hundreds of processes: each would compile the package again.
    sys.dont_write_bytecode = False
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it, for all child processes, too
    kept = OWN_SERVERS if config.getoption("--own-servers") else ()
    for name in [name for name in os.environ if FOREIGN_VARIABLES.fullmatch(name)]:
        if name not in kept:
            del os.environ[name]
    # Each worker of pytest-xdist has its own: two of them may run the same notebook at once.
    own = Path(tempfile.mkdtemp(prefix="eventlab-tests-"))
    config.stash[OWN] = own
    (own / "data").mkdir()
    use_sockets(own)
    os.environ[settings.DATA] = str(own / "data")
    for name in SETTINGS_FOLDERS:
        os.environ[name] = str(own / name.lower())
        Path(os.environ[name]).mkdir()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _place(item.nodeid))
    left_out = []
    for item in items:
        needs = [name for name in APART if item.get_closest_marker(name)]
        lacks_root = "root" in needs and os.geteuid() != 0
        if needs and (lacks_root or not config.getoption("--all")):
            config.stash[NOT_RUN]["root" if lacks_root else needs[0]] += 1
            left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _place(nodeid: str) -> int:
    for place, beginning in enumerate(LONGEST_FIRST):
        if nodeid.startswith(beginning):
            return place
    return len(LONGEST_FIRST)


def pytest_collection_finish(session: pytest.Session) -> None:
    if session.items and not session.config.option.collectonly:
        # Open to the end: between two notebooks no kernel keeps the servers running.
        session.config.stash[LAB] = connect()


def pytest_unconfigure(config: pytest.Config) -> None:
    lab = config.stash.get(LAB, None)
    if lab is not None:
        lab.close()
    own = config.stash.get(OWN, None)
    if own is not None:
        starter.stop(own / "data")
        shutil.rmtree(own)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["not run"] = dict(session.config.stash[NOT_RUN])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for name, count in getattr(node, "workeroutput", {}).get("not run", {}).items():
        node.config.stash[NOT_RUN][name] = (
            count  # every worker collects all tests and leaves out the same
        )


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for name, count in sorted(config.stash[NOT_RUN].items()):
        how = "make test-all" + (" as root" if name == "root" else "")
        terminalreporter.write_line(f"not run here: {count} tests that need {APART[name]} ({how})")


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Lab:
    """The lab of this test run."""
    return pytestconfig.stash[LAB]


@pytest.fixture(scope="session")
def redis_client(lab: Lab) -> Iterator[redis.Redis]:
    """A client of the lab's Redis that returns bytes."""
    path = lab.redis.connection_pool.connection_kwargs["path"]
    with redis.Redis(unix_socket_path=path) as client:
        yield client


@pytest.fixture(scope="module")
def prompt_disk(redis_client: redis.Redis) -> Iterator[None]:
    """Let Redis fsync before each reply: who waits for the disk waits no second for it."""
    redis_client.config_set("appendfsync", "always")
    yield
    redis_client.config_set("appendfsync", "everysec")


@pytest.fixture(scope="session")
def mongo(lab: Lab) -> Database[dict[str, Any]]:
    """The lab's MongoDB database."""
    return lab.mongo


@pytest.fixture
def category(request: pytest.FixtureRequest, lab: Lab) -> Iterator[str]:
    """A category for this test alone; all keys and collections with its name are removed later."""
    words = re.sub(r"[^A-Za-z0-9]+", "_", request.node.name)[:60].strip("_")
    name = f"{words}_{os.urandom(4).hex()}"
    yield name
    for key in lab.redis.scan_iter(match=f"*{name}*", count=1000):
        lab.redis.unlink(key)
    for collection in lab.mongo.list_collection_names(filter={"name": {"$regex": name}}):
        lab.mongo.drop_collection(collection)


@pytest.fixture
def store(redis_client: redis.Redis, category: str) -> EventStore:
    """An empty store of this test's own category."""
    return EventStore(redis_client, category)
