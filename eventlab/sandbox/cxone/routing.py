"""CXone's routing at the stand-in: a point of contact, its skill's queue, a strategy, and agents to offer work to."""

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
    """A step of a routing strategy: an action of CXone's Studio, and what it does."""

    action: str
    does: str


#: The strategy of the original's picture. It is data, that a page can show and a test can change.
STRATEGY: Final = (
    StrategyStep("Begin", "the work item comes in at its point of contact"),
    StrategyStep(
        "Reqagent",
        "an agent with the skill is requested; until there is one, it stands in the skill's queue",
    ),
    StrategyStep("Wait", "it waits there; without this step it would be abandoned at once"),
    StrategyStep("OnAnswer", "an agent accepts: the screen pop opens the mail's page"),
    StrategyStep("End", "the agent is done with it"),
)


@dataclass(frozen=True)
class PointOfContact:
    """A door of the contact centre: what comes in goes to the skill, by the strategy.

    >>> PointOfContact("mail").skill
    'work items'
    """

    name: str
    skill: str = "work items"
    strategy: Sequence[StrategyStep] = STRATEGY


@dataclass(frozen=True, kw_only=True)
class ReceivedWorkItem:
    """A work item that was taken, as it was sent."""

    contact_id: str
    point_of_contact: str
    work_item_id: str
    payload: str
    type: str
    sender: str
    screen_pop: str


@dataclass(eq=False)
class Contact:
    """A work item on its way through the strategy: its state, and the actions that it has passed."""

    item: ReceivedWorkItem
    point: PointOfContact
    state: State = "InQueue"
    passed: list[str] = field(default_factory=list)
    refusals: int = 0
    abandoned: bool = False
    start: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(eq=False)
class AgentSession:
    """An agent who is logged in: what he is told next, and the contact that he has."""

    agent: str
    events: list[dict[str, str]] = field(default_factory=list)
    contact: Contact | None = None


class WrongState(Exception):
    """An action that the contact's state does not allow."""


class Routing:
    """The queues of the skills, and the agents. An agent has one contact at a time; all agents have all skills.

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
        """A work item comes in; it is offered to an agent who is free, or waits.

        Example: ``routing.arrive(item).state``
        """
        contact = Contact(item, self.points[item.point_of_contact])
        self.contacts[item.contact_id] = contact
        self._pass(contact, "Begin", "Reqagent")
        if self._has(contact, "Wait"):
            self._pass(contact, "Wait")
            self._queue.append(contact)
            self._offer()
        else:
            contact.state, contact.abandoned = "Disconnected", True
        return contact

    def log_in(self) -> AgentSession:
        """An agent comes.

        Example: ``routing.log_in().agent``
        """
        session = AgentSession(str(next(self._agents)))
        self.sessions.append(session)
        self._offer()
        return session

    def log_out(self, session: AgentSession) -> None:
        """An agent goes; what he has not ended waits again, before all others.

        Example: ``routing.log_out(session)``
        """
        self.sessions.remove(session)
        if session.contact is not None:
            session.contact.state = "InQueue"
            self._queue.appendleft(session.contact)
            session.contact = None
        self._offer()

    def accept(self, session: AgentSession, contact_id: str) -> None:
        """An agent takes what he was offered: the screen pop. Raises ``WrongState``.

        Example: ``routing.accept(session, contact_id)``
        """
        contact = self._of(session, contact_id, "Incoming")
        contact.state = "Active"
        self._pass(contact, "OnAnswer")
        self._tell(session, contact)

    def reject(self, session: AgentSession, contact_id: str) -> None:
        """An agent does not take it: it goes to the end of the queue. Raises ``WrongState``.

        Example: ``routing.reject(session, contact_id)``
        """
        contact = self._of(session, contact_id, "Incoming")
        contact.refusals += 1
        contact.state = "InQueue"
        self._tell(session, contact, status="Disconnected")
        session.contact = None
        self._queue.append(contact)
        self.sessions.append(
            self.sessions.pop(self.sessions.index(session))
        )  # the others are asked first
        self._offer()

    def end(self, contact_id: str, session: AgentSession | None = None) -> None:
        """An agent is done with a contact; or, without an agent, it is ended by force. Raises ``WrongState``.

        Example: ``routing.end(contact_id, session)``
        """
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
                self._tell(holder, contact)
                holder.contact = None
        self._offer()

    def _offer(self) -> None:
        for session in self.sessions:
            if self._queue and session.contact is None:
                session.contact = self._queue.popleft()
                session.contact.state = "Incoming"
                self._tell(session, session.contact)

    def _of(self, session: AgentSession, contact_id: str, state: State) -> Contact:
        contact = session.contact
        if contact is None or contact.item.contact_id != contact_id or contact.state != state:
            raise WrongState(f"Contact is not {state} at this agent")
        return contact

    def _has(self, contact: Contact, action: str) -> bool:
        return any(step.action == action for step in contact.point.strategy)

    def _pass(self, contact: Contact, *actions: str) -> None:
        contact.passed += [action for action in actions if self._has(contact, action)]

    def _tell(self, session: AgentSession, contact: Contact, *, status: str | None = None) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        item, final = contact.item, contact.state == "Disconnected"
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
                "StartTimeUTC": contact.start.isoformat(timespec="milliseconds").replace(
                    "+00:00", "Z"
                ),
                "LastStateChangeTimeUTC": now,
                # Popped by OnAnswer: until an agent has accepted, there is none.
                "ScreenPopUrl": item.screen_pop if "OnAnswer" in contact.passed else "",
                "ScreenPopUrlVariables": "",
                "RefusalTimeout": "45",
                "FinalState": str(final),
            }
        )
