"""Draw a mechanism as SVG, with boxes, arrows and text in one style.

The colors are CSS classes, so that the reader's theme selects the light or the dark palette. A
drawing has its own background, so it is legible on any page. Text that does not fit raises
ValueError.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from math import hypot
from typing import Final, Literal

Fill = Literal["ground", "panel", "past", "blue", "orange", "green"]
Ink = Literal["ink", "soft", "orange", "green", "blue"]
Anchor = Literal["start", "middle", "end"]

#: The meaning of the fill colors: ``past`` was there before, ``blue`` is new, ``orange`` has
#: failed, and ``green`` is done. ``on`` is the color of text on the last three.
LIGHT: Final = {
    "ground": "#ffffff",
    "panel": "#f3f5f7",
    "past": "#dfe3e8",
    "blue": "#0072b2",
    "orange": "#b04600",
    "green": "#00694d",
    "ink": "#1f2328",
    "soft": "#545b64",
    "on": "#ffffff",
}
DARK: Final = {
    "ground": "#1b1f24",
    "panel": "#252a31",
    "past": "#434b55",
    "blue": "#6cc0f5",
    "orange": "#ffa657",
    "green": "#5fd3ae",
    "ink": "#eef1f4",
    "soft": "#b9c1ca",
    "on": "#10151a",
}
FONT: Final = "Helvetica, Arial, sans-serif"
SIZE: Final = 15
#: The width of a letter relative to the font size, slightly more than Helvetica's average.
LETTER: Final = 0.52


def _style() -> str:
    def rules(palette: dict[str, str]) -> str:
        fills = " ".join(f".{name}{{fill:{color}}}" for name, color in palette.items())
        lines = " ".join(f".{name}-line{{stroke:{color}}}" for name, color in palette.items())
        return f"{fills} {lines}"

    return f"<style>{rules(LIGHT)} @media (prefers-color-scheme: dark) {{ {rules(DARK)} }}</style>"


@dataclass
class Drawing:
    """A picture that is drawn shape by shape; ``title`` states its point for screen readers too."""

    title: str
    width: int
    height: int
    shapes: list[str] = field(default_factory=list)
    #: Each text color that is used, with its background color.
    inks: set[tuple[str, str]] = field(default_factory=set)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        ink: str = "ink",
        on: str = "ground",
        size: int = SIZE,
        bold: bool = False,
        anchor: Anchor = "start",
        room: float | None = None,
    ) -> None:
        """Write one line with its baseline at ``y``; with ``room``, it must fit into that width."""
        width = len(text) * size * LETTER * (1.06 if bold else 1)
        left = {"start": x, "middle": x - width / 2, "end": x - width}[anchor]
        if (room is not None and width > room) or left < 0 or left + width > self.width:
            raise ValueError(f"{text!r} is about {width:.0f} wide and does not fit")
        self.inks.add((ink, on))
        weight = ' font-weight="bold"' if bold else ""
        at = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self.shapes.append(
            f'<text class="{ink}" x="{x:g}" y="{y:g}" font-size="{size}"{weight}{at}>'
            f"{escape(text, quote=False)}</text>"
        )

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        text: str = "",
        *,
        fill: Fill = "past",
        size: int = SIZE,
        bold: bool = False,
        border: str = "",
        round: float = 5,
    ) -> None:
        """Draw a box with centered lines of text; ``border`` is the color of its edge, if any."""
        edge = f' class="{fill} {border}-line" stroke-width="2"' if border else f' class="{fill}"'
        self.shapes.append(
            f'<rect{edge} x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
            f'rx="{round:g}"/>'
        )
        lines = text.split("\n") if text else []
        step = size * 1.25
        first = y + height / 2 - (len(lines) - 1) * step / 2 + size * 0.35
        ink = "ink" if fill in ("ground", "panel", "past") else "on"
        for number, line in enumerate(lines):
            self.text(
                x + width / 2,
                first + number * step,
                line,
                ink=ink,
                on=fill,
                size=size,
                bold=bold,
                anchor="middle",
                room=width - 4,
            )

    def line(self, *points: tuple[float, float], ink: Ink = "soft", dashed: bool = False) -> None:
        """Draw a line through the points."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.shapes.append(
            f'<polyline class="{ink}-line" fill="none" stroke-width="2"{dash} points="{path}"/>'
        )

    def arrow(self, *points: tuple[float, float], ink: Ink = "soft", dashed: bool = False) -> None:
        """Draw a line through the points with an arrowhead at its end."""
        (x0, y0), (x, y) = list(pairwise(points))[-1]
        length = hypot(x - x0, y - y0)
        dx, dy = (x - x0) / length, (y - y0) / length
        neck = (x - 10 * dx, y - 10 * dy)
        self.line(*points[:-1], neck, ink=ink, dashed=dashed)
        left = (neck[0] - 5 * dy, neck[1] + 5 * dx)
        right = (neck[0] + 5 * dy, neck[1] - 5 * dx)
        head = " ".join(f"{a:.1f},{b:.1f}" for a, b in (left, (x, y), right))
        self.shapes.append(f'<polygon class="{ink}" points="{head}"/>')

    def kill(self, x: float, y: float) -> None:
        """Draw a cross, which marks where a process is killed."""
        for slope in (1, -1):
            ends = ((x - 9, y - 9 * slope), (x + 9, y + 9 * slope))
            path = " ".join(f"{a:g},{b:g}" for a, b in ends)
            self.shapes.append(f'<polyline class="orange-line" stroke-width="5" points="{path}"/>')

    def svg(self) -> str:
        """Return the drawing as the text of an SVG file."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" font-family="{FONT}" role="img" '
            'aria-labelledby="t">'
        )
        ground = f'<rect class="ground" width="{self.width}" height="{self.height}" rx="8"/>'
        title = f'<title id="t">{escape(self.title, quote=False)}</title>'
        return "\n".join([head, title, _style(), ground, *self.shapes, "</svg>", ""])
