"""An example web application: a FastAPI app that serves a counter from its events."""

from __future__ import annotations

import socket
import sys
import threading
import urllib.request
import uuid

import uvicorn
from fastapi import FastAPI

from eventlab import Aggregate, Event, EventStore, Recorded, Repository, connect


class Counter(Aggregate):
    """A number that only grows."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.count = 0

    def increment(self) -> None:
        """Add one."""
        self.record("incremented")

    def apply(self, event: Event | Recorded) -> None:
        """Evolve the state by one event."""
        self.count += event.type == "incremented"


def create_app(store: EventStore) -> FastAPI:
    """Return the app, which keeps its counters in a store."""
    app = FastAPI()
    counters = Repository(store, Counter)

    @app.post("/counters/{name}")
    def increment(name: str) -> dict[str, int]:
        counters.retry(name, lambda counter: counter.increment())
        return {"count": counters.load(name).count}

    return app


def post(url: str) -> str:
    """Send an empty POST and return the body of the response."""
    with urllib.request.urlopen(urllib.request.Request(url, method="POST")) as response:
        return str(response.read().decode())


def main() -> int:
    """Count to two over HTTP, and print the responses."""
    with connect() as lab, socket.socket() as listener:
        store = EventStore(lab.redis, f"web_{uuid.uuid4().hex}")
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/counters/visits"
        server = uvicorn.Server(uvicorn.Config(create_app(store), log_level="error"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        print(post(url))
        print(post(url))
        server.should_exit = True
        thread.join()
        store.drop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
