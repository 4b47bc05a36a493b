"""Boxes of lines that are laid out separately, such as the cells of a table row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

#: If a cell has more lines, its row is layout, not data: the cells are placed below each other.
MAX_CELL_LINES: Final = 4
MAX_ROW: Final = 400
BETWEEN_CELLS: Final = "  "
BETWEEN_CELL_LINES: Final = " / "


@dataclass
class Box:
    """Lines that are laid out separately: a page, a cell, a list item or a quote."""

    lines: list[str] = field(default_factory=list)
    line: list[str] = field(default_factory=list)
    gap: bool = False

    def end_line(self, *, always: bool = False) -> None:
        """End the current line; ``always`` adds a line even if it is empty, as for a line break."""
        if not self.line and not always:
            return
        if self.gap and self.lines:
            self.lines.append("")
        self.gap = False
        self.lines.append("".join(self.line).rstrip(" "))
        self.line = []

    def add(self, lines: list[str]) -> None:
        """Add finished lines, starting on a new line."""
        if any(lines):
            self.end_line()
            if self.gap and self.lines:
                self.lines.append("")
            self.gap = False
            self.lines += lines

    def ends_with_space(self) -> bool:
        """Return whether another space at the end of the line would be invisible."""
        return not self.line or self.line[-1].endswith(" ")


def row_of(cells: list[list[str]]) -> list[str]:
    """Return a data row as one line, or the lines of its cells if the row is used for layout."""
    filled = [lines for cell in cells if (lines := [line for line in cell if line.strip()])]
    if len(filled) == 1:
        return next(cell for cell in cells if any(line.strip() for line in cell))
    if (
        all(len(lines) <= MAX_CELL_LINES for lines in filled)
        and sum(len(line) for lines in filled for line in lines) <= MAX_ROW
    ):
        joined = [BETWEEN_CELL_LINES.join(line.strip() for line in lines) for lines in filled]
        return [BETWEEN_CELLS.join(joined)] if joined else []
    return [line for lines in filled for line in lines]
