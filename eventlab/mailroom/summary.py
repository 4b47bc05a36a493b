"""The summary of a router's round."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The counts from one round of the router.

    ``listed`` counts the emails that Gmail listed, and ``new`` those among them that were not known
    before. ``submitted`` counts the emails that CXone accepted, and ``refused`` those that it
    rejected. ``held`` counts the emails that this round left in doubt or held for review, which
    need an operator. ``skipped`` counts the emails that are not for an agent, ``waiting`` those
    that are still to be sent, and ``duplicates`` those for which CXone is known to have several
    work items. ``open`` counts all emails that are in doubt or held for review, including those
    from earlier rounds. ``problem`` says why the round ended early.

    >>> print(Summary(listed=3, new=3, submitted=2, held=1, open=1))
    listed 3, new 3: submitted 2, held 1, refused 0, skipped 0; 1 held for review in total ...
    """

    listed: int = 0
    new: int = 0
    submitted: int = 0
    held: int = 0
    refused: int = 0
    skipped: int = 0
    duplicates: int = 0
    waiting: int = 0
    open: int = 0
    problem: str = ""

    @property
    def quiet(self) -> bool:
        """True if the round found nothing new and did nothing."""
        return not (
            self.new or self.submitted or self.held or self.refused or self.skipped or self.problem
        )

    def __str__(self) -> str:
        """Return the summary as one line."""
        new = f"new {self.new}" if self.new else "nothing new"
        line = (
            f"listed {self.listed}, {new}: submitted {self.submitted}, held {self.held}, "
            f"refused {self.refused}, skipped {self.skipped}"
        )
        if self.duplicates:
            line += f"; DUPLICATES {self.duplicates}: CXone has two work items for the same email"
        if self.waiting:
            line += f"; {self.waiting} to be sent later"
        if self.open:
            line += f"; {self.open} held for review in total (eventlab route --held)"
        return line + (f"; stopped early: {self.problem}" if self.problem else "")
