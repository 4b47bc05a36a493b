"""The crash stepper: a projector that you run command by command and kill at any point."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

from bson.binary import Binary, UuidRepresentation
from pymongo.database import Database

from eventlab.events import Event
from eventlab.lessons.interactive import Interactive, as_table, button, side_by_side
from eventlab.lessons.processes import WHAT_TO_DO, Program
from eventlab.lessons.stepped_projector import CHECKPOINT, TOTAL, WAYS
from eventlab.store.store import NEW, EventStore

DEPOSIT: Final = 100
DEPOSITS: Final = 3
PROGRAM: Final = "from eventlab.lessons.stepped_projector import main; main()"


class CrashStepper(Interactive):
    """A projector that adds up three deposits of 100, and that you can kill between two commands.

    ``way`` says how the projector writes the total and the checkpoint: ``"checkpoint first"``,
    ``"document first"`` or ``"one transaction"``. ``step`` makes the projector send one command.
    ``kill`` kills the projector's process with SIGKILL, and the next step starts a new process. The
    constructor deletes all events of the store and all documents of the collection with the same
    name, so use a store that nothing else uses.
    """

    def __init__(
        self, store: EventStore, mongo: Database[dict[str, Any]], way: str = "document first"
    ) -> None:
        self._store = store
        self._documents = mongo[store.category]
        self.way = way
        self._process: Program | None = None
        self.reset()

    def reset(self, way: str | None = None) -> None:
        """Start over with the given ``way``, or with the same ``way`` as before."""
        self.way = way or self.way
        if self.way not in WAYS:
            raise ValueError(f"way={self.way!r} must be one of {', '.join(WAYS)}")
        self.close()
        self._store.drop()
        self._documents.drop()
        deposits = [Event("deposit", {"amount": DEPOSIT})] * DEPOSITS
        self._store.append("shared", deposits, expected=NEW)
        self.past: list[str] = []
        self.kills = 0
        self._session: UUID | None = None
        self.next = ""  # the next command that the process will send, or "" without a process
        self.done = False

    def step(self, count: int = 1) -> CrashStepper:
        """Make the projector send its next ``count`` commands.

        If the projector has no process, start a process first.
        """
        for _ in range(count):
            if self.done:
                break
            if self._process is None:
                self._start()
            self.past.append(self.next)
            self.next = self._ask("go")
            self._end_if_done()
        return self

    def run(self) -> CrashStepper:
        """Run the projector until no events are left."""
        while not self.done:
            self.step()
        return self

    def kill(self) -> CrashStepper:
        """Kill the process between two commands; do nothing if there is no process."""
        if self._process is not None:
            self.close()
            self.past.append("killed")
            self.kills += 1
        return self

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process = None
            # Otherwise, MongoDB would keep the dead process's open transaction for a minute.
            if self._session is not None:
                uuid = Binary.from_uuid(self._session, UuidRepresentation.STANDARD)
                self._documents.database.client.admin.command("killSessions", [{"id": uuid}])
        self.next = ""

    def _start(self) -> None:
        self._process = Program(PROGRAM, self.way, self._store.category)
        self._session = UUID(self._answer())
        self.next = self._answer()
        self._end_if_done()

    def _ask(self, text: str) -> str:
        assert self._process is not None
        self._process.write_line(text)
        return self._answer()

    def _answer(self) -> str:
        assert self._process is not None
        line = self._process.read_line()
        if not line:
            self.close()
            raise RuntimeError(f"the projector's process exited: {WHAT_TO_DO}")
        return line.rstrip("\n")

    def _end_if_done(self) -> None:
        if self.next == "done":
            self.close()
            self.done = True

    # -------------------------------------------------------------------------------- what it shows

    @property
    def checkpoint(self) -> int:
        """The number of applied events, according to MongoDB."""
        return int((self._documents.find_one({"_id": CHECKPOINT}) or {}).get("events", 0))

    @property
    def total(self) -> int:
        """The funds in the document."""
        return int((self._documents.find_one({"_id": TOTAL}) or {}).get("funds", 0))

    def money(self) -> str:
        """Return ``right``, ``not finished``, or text such as ``100 lost`` or ``100 too much``."""
        if not self.done:
            return "the run is not finished"
        wrong = self.total - DEPOSIT * DEPOSITS
        if wrong == 0:
            return "right"
        return f"{wrong} too much" if wrong > 0 else f"{-wrong} lost"

    def _happened(self) -> list[str]:
        here = [f"next: {self.next}"] if self.next else []
        return [*self.past, *here]

    def __repr__(self) -> str:
        stored = ", ".join(str(event.data["amount"]) for event in self._store.read("shared"))
        lines = [
            f"{self.way}: {len(self.past) - self.kills} commands, kills: {self.kills}",
            f"Redis: deposits {stored}",
            f"MongoDB: checkpoint {self.checkpoint}, funds {self.total}",
            f"result: {self.money()}",
        ]
        return "\n".join(lines)

    def table(self) -> str:
        """Return the commands, the data of both servers, and the result as HTML, side by side."""
        events = [(e.version, e.type, e.data["amount"]) for e in self._store.read("shared")]
        lines = self._happened()
        commands = as_table([self.way], [[line] for line in lines], marked=len(lines) - 1)
        document = [("checkpoint", self.checkpoint), ("funds", self.total)]
        return side_by_side(
            ("the projector", commands),
            ("Redis", as_table(["version", "type", "amount"], events)),
            ("MongoDB", as_table(["document", "value"], document)),
            (f"result: {self.money()}", ""),
        )

    def controls(self, refresh: Callable[[], None]) -> Sequence[Any]:
        """Return a drop-down list for ``way``, and the buttons."""
        import ipywidgets

        ways = ipywidgets.Dropdown(options=WAYS, value=self.way, layout={"width": "12em"})

        def chosen(change: dict[str, Any]) -> None:
            self.reset(change["new"])
            refresh()

        ways.observe(chosen, names="value")
        return [
            ways,
            button("Next command", self.step, refresh),
            button("Kill it here", self.kill, refresh),
            button("Run to the end", self.run, refresh),
            button("Start over", self.reset, refresh),
        ]

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()
