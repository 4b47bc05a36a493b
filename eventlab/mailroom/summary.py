"""A summary: what a router's round has done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What one round did, in numbers of mails.

    ``listed`` were named by Gmail, ``new`` among them were not known before. ``submitted`` were taken by CXone in this
    round, ``held`` came into doubt or were given up and are left to a person, ``refused`` were refused by CXone,
    ``skipped`` are not for an agent. ``twice`` are mails of which CXone is now known to hold two work items.
    ``waiting`` are still to be sent, ``open`` are all that wait for a person, from earlier rounds too. ``problem`` says
    why the round ended early.

    >>> print(Summary(listed=3, new=3, submitted=2, held=1, open=1))
    listed 3, new 3: submitted 2, held 1, refused 0, skipped 0; 1 in all left to a person (eventlab route --held)
    """

    listed: int = 0
    new: int = 0
    submitted: int = 0
    held: int = 0
    refused: int = 0
    skipped: int = 0
    twice: int = 0
    waiting: int = 0
    open: int = 0
    problem: str = ""

    @property
    def quiet(self) -> bool:
        """True if nothing was new and nothing was done."""
        return not (
            self.new or self.submitted or self.held or self.refused or self.skipped or self.problem
        )

    def __str__(self) -> str:
        """One line."""
        done = f"submitted {self.submitted}, held {self.held}, refused {self.refused}, skipped {self.skipped}"
        line = f"listed {self.listed}, " + (
            f"new {self.new}: {done}" if self.new else f"nothing new: {done}"
        )
        if self.twice:
            line += f"; TWICE {self.twice}: CXone holds two work items of the same mail"
        if self.waiting:
            line += f"; {self.waiting} to be sent later"
        if self.open:
            line += f"; {self.open} in all left to a person (eventlab route --held)"
        return line + (f"; stopped early: {self.problem}" if self.problem else "")
