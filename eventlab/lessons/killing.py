"""Run processes that follow a category and are killed with SIGKILL at the worst moment."""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from eventlab.events import Recorded
from eventlab.lessons.processes import start_together
from eventlab.projections.view import View
from eventlab.store.store import EventStore
from eventlab.subscriptions.subscription import Subscription

CONSUMER = """
from __future__ import annotations
import json, os, signal, sys, time
from contextlib import suppress
from pymongo.errors import DuplicateKeyError
from eventlab import EventStore, Subscription, connect
from eventlab.lessons import wait_for_start

category, collection, consumer, dies_after = sys.argv[1:4] + [int(sys.argv[4])]
lab = connect()
group = Subscription(EventStore(lab.redis, category), collection, consumer=consumer)
documents = lab.mongo[collection]

{write}

events, written = group.receive(100), 0
wait_for_start()
began = time.time()
while events:
    for event in events:
        write(documents, event)
    written += len(events)
    if 0 < dies_after <= written:
        os.kill(os.getpid(), signal.SIGKILL)
    group.ack(events)
    events = group.receive(100)
print(json.dumps([written, began, time.time()]))
"""

PROJECTOR = """
from __future__ import annotations
import json, os, signal, sys, time
from pymongo import monitoring
from eventlab import EventStore, Projector, connect
from eventlab.lessons import wait_for_start

category, dies, batch_size = sys.argv[1:3] + [int(sys.argv[3])]

class Deadly(monitoring.CommandListener):
    commits = 0

    def started(self, event):
        self.commits += event.command_name == "commitTransaction"
        self.die_if("inside", event)

    def succeeded(self, event):
        self.die_if("behind", event)

    def failed(self, event):
        pass

    def die_if(self, where, event):
        if event.command_name == "commitTransaction" and dies == where and self.commits == 3:
            os.kill(os.getpid(), signal.SIGKILL)

class Followed:
    name = "{name}"
{apply}
monitoring.register(Deadly())
lab = connect()
store = EventStore(lab.redis, category)
wait_for_start()
with Projector(store, lab.mongo, Followed(), batch_size=batch_size) as projector:
    began = time.time()
    applied = projector.catch_up()
    print(json.dumps([applied, began, time.time()]))
"""


HANDLER = """
from __future__ import annotations
import os, signal, sys, uuid
from pathlib import Path
from eventlab import EventStore, Subscription, connect
from eventlab.lessons import wait_for_start

category, group, folder, crashes = sys.argv[1:]

def crash():
    if crashes:
        os.kill(os.getpid(), signal.SIGKILL)

{handle}

subscription = Subscription(EventStore(connect().redis, category), group, consumer="one")
wait_for_start()
for event in subscription.receive():
    handle(event, Path(folder), subscription, crash)
"""


class Ended(NamedTuple):
    """How processes ended: whether any was killed, and the events per second of the others."""

    killed: bool
    rate: float


def consume(
    store: EventStore,
    write: Callable[[Any, Recorded], object],
    collection: str,
    *,
    dies_after: int = 0,
    consumers: Sequence[str] = ("one",),
) -> Ended:
    """Run a consumer group, with one process per consumer, until no events are left.

    Each consumer receives up to 100 events, calls ``write(documents, event)`` for each of them, and
    then acknowledges them all. A consumer that has written ``dies_after`` events or more is killed
    before the acknowledgment; with 0, no consumer is killed. All consumers start at the same time.
    """
    source = textwrap.dedent(inspect.getsource(write)).replace(f"def {write.__name__}", "def write")
    code = CONSUMER.replace("{write}", source)
    return _ended(
        [(code, store.category, collection, consumer, str(dies_after)) for consumer in consumers]
    )


def project(store: EventStore, view: View, *, dies: str = "", batch_size: int = 100) -> Ended:
    """Run a projector in its own process until it has caught up or is killed.

    ``dies="inside"`` kills the process in its third transaction, right before the commit.
    ``dies="behind"`` kills the process right after the commit of its third transaction.
    """
    source = inspect.getsource(type(view).apply)
    code = PROJECTOR.replace("{apply}", source).replace("{name}", view.name)
    return _ended([(code, store.category, dies, str(batch_size))])


def _ended(commands: list[tuple[str, ...]]) -> Ended:
    ended = start_together(commands)
    rows = [json.loads(text) for text, _ in ended if text]
    if not rows:
        return Ended(killed=True, rate=0.0)
    seconds = max(ended for _, _, ended in rows) - min(began for _, began, _ in rows)
    events = sum(events for events, _, _ in rows)
    return Ended(any(status < 0 for _, status in ended), events / max(seconds, 1e-9))


def handle(
    store: EventStore,
    handler: Callable[[Recorded, Path, Subscription, Callable[[], None]], object],
    folder: str,
    *,
    crashes: bool = False,
) -> bool:
    """Run ``handler(event, folder, subscription, crash)`` for each event in a separate process.

    The subscription has the handler's name. If ``crashes`` is true, ``crash()`` kills the process;
    otherwise, ``crash()`` does nothing. Returns whether the process was killed.
    """
    source = textwrap.dedent(inspect.getsource(handler))
    source = source.replace(f"def {handler.__name__}", "def handle")
    arguments = (store.category, handler.__name__, folder, "crash" if crashes else "")
    [(_, status)] = start_together([(HANDLER.replace("{handle}", source), *arguments)])
    return status < 0
