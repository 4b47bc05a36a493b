"""Every page runs on the user's own servers, and harms nothing there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from eventlab import settings
from eventlab.servers import state
from tests.notebooks.test_rules import PATHS
from tests.support.own_servers import Documents, OwnServers, with_a_cluster, with_password_and_tls
from tools import notebooks, rules

pytestmark = pytest.mark.pages

KINDS: dict[str, Callable[[Path], contextlib.AbstractContextManager[OwnServers]]] = {
    "tls": with_password_and_tls,
    "cluster": with_a_cluster,
}


#: What page 00 keeps for its reader, whom page 12 has forgotten, and the library's bookkeeping.
LEFT = {
    "startHere",
    "{startHere}/ids",
    "{startHere}:piggy-bank",
    "{beforeWorkKeys}/people",
    "{beforeWorkKeys}/settled",
    "eventlab.projections",
    "eventlab.projectors",
}
#: What a page says that cannot run on a cluster.
ONE_SERVER = "one Redis server"


#: The categories of the page that stops there on purpose, and so cannot tidy up.
ITS_OWN = "versionConflicts"
#: Pages that run at the same time: they wait for most of theirs.
AT_ONCE = 2


@dataclass(frozen=True)
class Tried:
    """A user's servers before and after all pages ran on them, and what became of the pages."""

    kind: str
    before: tuple[dict[str, object], dict[str, object]]  # contents and settings
    after: tuple[dict[str, object], dict[str, object]]
    private: object  # the servers that a page has started instead
    pages: dict[Path, NotebookNode | BaseException]


@pytest.fixture(scope="module", params=KINDS)
def tried(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tried]:
    folder = tmp_path_factory.mktemp(request.param)
    with KINDS[request.param](folder) as servers, pytest.MonkeyPatch.context() as variables:
        servers.fill()
        variables.setenv(settings.REDIS_URL, servers.redis_url)
        variables.setenv(settings.MONGODB_URL, servers.mongodb_url)
        variables.setenv(settings.DATA, str(folder / "data"))
        before = servers.contents(), servers.settings()
        pages = asyncio.run(run_all())
        after = servers.contents(), servers.settings()
        yield Tried(request.param, before, after, state.read(folder / "data"), pages)


async def run_all() -> dict[Path, NotebookNode | BaseException]:
    """Run all pages, some at a time; return each as it ran, or the error that stopped it."""
    free = asyncio.Semaphore(AT_ONCE)

    async def run(path: Path) -> NotebookNode:
        async with free:
            return await notebooks.run(notebooks.read(path))

    done = await asyncio.gather(*map(run, PATHS), return_exceptions=True)
    return dict(zip(PATHS, done, strict=True))


def prints(page: NotebookNode) -> list[object]:
    """Return what each cell shows, except those that show which servers they found."""
    about = ("connect()\nlab", "report()")
    cells = [c for c in rules.without_ignored(page).cells if c.cell_type == "code"]
    return [cell.outputs for cell in cells if not cell.source.endswith(about)]


def is_to_stop(path: Path, tried: Tried) -> bool:
    """Return whether a page says that it cannot run on these servers."""
    return tried.kind == "cluster" and ONE_SERVER in notebooks.read(path).cells[0].source


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_page_runs_on_own_servers(path: Path, tried: Tried) -> None:
    done = tried.pages[path]
    if is_to_stop(path, tried):
        assert isinstance(done, CellExecutionError)
    elif isinstance(done, BaseException):
        raise done
    else:
        assert prints(done) == prints(notebooks.read(path))


def test_pages_leave_on_own_servers_only_what_they_say(tried: Tried) -> None:
    before, after = tried.before[0], tried.after[0]
    emptied = {
        name for name, value in after.items() if isinstance(value, Documents) and not value.n
    }
    left = after.keys() - before.keys() - emptied - LEFT
    if any(is_to_stop(path, tried) for path in PATHS):
        left = {name for name in left if ITS_OWN not in name}
    assert left == set()


def test_pages_change_nothing_that_was_on_own_servers(tried: Tried) -> None:
    contents, configuration = tried.before
    assert {name: tried.after[0].get(name) for name in contents} == contents
    assert tried.after[1] == configuration
    assert tried.private is None, "a page has started private servers"
