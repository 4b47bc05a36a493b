"""The fake CXone's routing, with points of contact, skills, a queue, a strategy and agents."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

State = Literal["InQueue", "Incoming", "Active", "Disconnected"]


@dataclass(frozen=True)
class StrategyStep:
    """A step of a routing strategy: an action of CXone Studio, and what the action does."""

    action: str
    does: str


#: The strategy that the original project shows in a picture, as data for notebooks and tests.
STRATEGY: Final = (
    StrategyStep("Begin", "the work item arrives at its point of contact"),
    StrategyStep(
        "Reqagent",
        "an agent with the skill is requested; until one is free, the work item is queued",
    ),
    StrategyStep(
        "Wait", "it waits in the queue; without this step it would be abandoned immediately"
    ),
    StrategyStep("OnAnswer", "an agent accepts: the screen pop opens the email's page"),
    StrategyStep("End", "the agent ends the contact"),
)


@dataclass(frozen=True)
class PointOfContact:
    """An entry point of the contact center; its strategy routes work items to its skill.

    >>> PointOfContact("mail").skill
    'work items'
    """

    name: str
    skill: str = "work items"
    strategy: Sequence[StrategyStep] = STRATEGY


@dataclass(frozen=True, kw_only=True)
class ReceivedWorkItem:
    """A work item that the fake CXone has accepted."""

    contact_id: str
    point_of_contact: str
    work_item_id: str
    payload: str
    type: str
    sender: str
    screen_pop: str


@dataclass(eq=False)
class Contact:
    """A work item on its way through the strategy, with its state and its completed actions."""

    item: ReceivedWorkItem
    point: PointOfContact
    state: State = "InQueue"
    passed: list[str] = field(default_factory=list)
    rejections: int = 0
    abandoned: bool = False
    start: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(eq=False)
class AgentSession:
    """A logged-in agent, with the events to deliver next and the current contact."""

    agent: str
    events: list[dict[str, str]] = field(default_factory=list)
    contact: Contact | None = None


class WrongState(Exception):
    """Raised when the contact's state does not allow an action."""


class Routing:
    """The queue and the agents. An agent has one contact at a time; every agent has every skill.

    >>> routing = Routing([PointOfContact("mail")])
    >>> session = routing.log_in()
    >>> contact = routing.arrive(item)
    >>> session.events[0]["Status"]
    'Incoming'
    """

    def __init__(self, points: Iterable[PointOfContact]) -> None:
        self.points = {point.name: point for point in points}
        self.contacts: dict[str, Contact] = {}
        self.sessions: list[AgentSession] = []
        self._queue: deque[Contact] = deque()
        self._agents = itertools.count(1001)

    def arrive(self, item: ReceivedWorkItem) -> Contact:
        """Accept a work item and offer it to a free agent, or queue it."""
        contact = Contact(item, self.points[item.point_of_contact])
        self.contacts[item.contact_id] = contact
        self._pass(contact, "Begin", "Reqagent")
        if self._has(contact, "Wait"):
            self._pass(contact, "Wait")
            self._queue.append(contact)
            self._offer()
        else:
            contact.state = "Disconnected"
            contact.abandoned = True
        return contact

    def log_in(self) -> AgentSession:
        """Log an agent in and offer the agent the next contact."""
        session = AgentSession(str(next(self._agents)))
        self.sessions.append(session)
        self._offer()
        return session

    def log_out(self, session: AgentSession) -> None:
        """Log an agent out; the agent's contact goes back to the head of the queue."""
        self.sessions.remove(session)
        if session.contact is not None:
            session.contact.state = "InQueue"
            self._queue.appendleft(session.contact)
            session.contact = None
        self._offer()

    def accept(self, session: AgentSession, contact_id: str) -> None:
        """Accept the offered contact, which opens the screen pop. Raises ``WrongState``."""
        contact = self._of(session, contact_id, "Incoming")
        contact.state = "Active"
        self._pass(contact, "OnAnswer")
        self._notify(session, contact)

    def reject(self, session: AgentSession, contact_id: str) -> None:
        """Reject the offered contact, which goes to the end of the queue. Raises ``WrongState``."""
        contact = self._of(session, contact_id, "Incoming")
        contact.rejections += 1
        contact.state = "InQueue"
        self._notify(session, contact, status="Disconnected")
        session.contact = None
        self._queue.append(contact)
        # Offer the contact to the other agents first.
        self.sessions.remove(session)
        self.sessions.append(session)
        self._offer()

    def end(self, contact_id: str, session: AgentSession | None = None) -> None:
        """End an agent's contact or, without a session, any contact. Raises ``WrongState``."""
        contact = self.contacts.get(contact_id)
        if session is not None:
            contact = self._of(session, contact_id, "Active")
        if contact is None or contact.state == "Disconnected":
            raise WrongState("Contact is not active")
        contact.state = "Disconnected"
        self._pass(contact, "End")
        if contact in self._queue:
            self._queue.remove(contact)
        for holder in self.sessions:
            if holder.contact is contact:
                self._notify(holder, contact)
                holder.contact = None
        self._offer()

    def _offer(self) -> None:
        for session in self.sessions:
            if self._queue and session.contact is None:
                session.contact = self._queue.popleft()
                session.contact.state = "Incoming"
                self._notify(session, session.contact)

    def _of(self, session: AgentSession, contact_id: str, state: State) -> Contact:
        contact = session.contact
        if contact is None or contact.item.contact_id != contact_id or contact.state != state:
            raise WrongState(f"Contact is not {state} for this agent")
        return contact

    def _has(self, contact: Contact, action: str) -> bool:
        return any(step.action == action for step in contact.point.strategy)

    def _pass(self, contact: Contact, *actions: str) -> None:
        contact.passed += [action for action in actions if self._has(contact, action)]

    def _notify(
        self, session: AgentSession, contact: Contact, *, status: str | None = None
    ) -> None:
        item = contact.item
        final = contact.state == "Disconnected"
        session.events.append(
            {
                "Type": "WorkItemContactEvent",
                "IISHost": "sandbox",
                "VCHost": "sandbox",
                "ContactID": item.contact_id,
                "Status": status or contact.state,
                "WorkItemId": item.work_item_id,
                "WorkItemPayload": item.payload,
                "WorkItemType": item.type,
                "AgentId": session.agent,
                "SkillId": contact.point.skill,
                "StartTimeUTC": _utc_text(contact.start),
                "LastStateChangeTimeUTC": _utc_text(datetime.now(UTC)),
                # OnAnswer opens the screen pop, so there is no URL until an agent has accepted.
                "ScreenPopUrl": item.screen_pop if "OnAnswer" in contact.passed else "",
                "ScreenPopUrlVariables": "",
                "RefusalTimeout": "45",
                "FinalState": str(final),
            }
        )


def _utc_text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
