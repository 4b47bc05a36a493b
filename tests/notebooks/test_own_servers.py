"""Every page runs on servers of the user's own, and harms nothing there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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


@dataclass
class Tried:
    """A user's servers: as they were, and as they are now."""

    kind: str
    servers: OwnServers
    data: Path
    contents: dict[str, object] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    #: What a page that stopped halfway has left in a category of its own.
    unfinished: set[str] = field(default_factory=set)


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
        yield Tried(request.param, servers, folder / "data", servers.contents(), servers.settings())


def prints(page: NotebookNode) -> list[object]:
    """Return what each cell shows, except those that show which servers they found."""
    about = ("connect()\nlab", "report()")
    cells = [c for c in rules.without_ignored(page).cells if c.cell_type == "code"]
    return [cell.outputs for cell in cells if not cell.source.endswith(about)]


def new(tried: Tried) -> set[str]:
    """Return the names of what the pages have left, except what each of them says it leaves."""
    left = tried.servers.contents()
    emptied = {name for name, value in left.items() if isinstance(value, Documents) and not value.n}
    return left.keys() - tried.contents.keys() - emptied - LEFT - tried.unfinished


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_page_runs_on_own_servers_and_changes_nothing_of_theirs(path: Path, tried: Tried) -> None:
    stored = notebooks.read(path)
    if ONE_SERVER in stored.cells[0].source and tried.kind == "cluster":
        with pytest.raises(CellExecutionError):
            asyncio.run(notebooks.run(stored))
        assert all("versionConflicts" in name for name in new(tried))
        tried.unfinished |= new(tried)
    else:
        assert prints(asyncio.run(notebooks.run(stored))) == prints(stored)
        assert new(tried) == set()
    contents = tried.servers.contents()
    assert {name: contents.get(name) for name in tried.contents} == tried.contents
    assert tried.servers.settings() == tried.settings
    assert state.read(tried.data) is None, "a page has started private servers"
