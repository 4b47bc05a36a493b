"""Interactive parts of a notebook: widgets, or tables if widgets are not available."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any

WIDGET = "application/vnd.jupyter.widget-view+json"
CELL = "padding:0.2em 0.8em;text-align:left;vertical-align:top"


class Interactive(abc.ABC):
    """The base class of the widgets.

    Tests compare the text of a widget, and GitHub shows the widget's table. A widget has a
    method for each of its buttons, so that code in a notebook can do the same as a click.
    """

    @abc.abstractmethod
    def __repr__(self) -> str:
        """Return the contents as plain text."""

    @abc.abstractmethod
    def table(self) -> str:
        """Return the contents as HTML that sets no colors, so that it is legible in every theme."""

    @abc.abstractmethod
    def controls(self, refresh: Callable[[], None]) -> Sequence[Any]:
        """Return the controls; each calls ``refresh`` after it has changed something."""

    def _repr_mimebundle_(
        self,
        include: Any = None,  # noqa: ARG002 - IPython's protocol
        exclude: Any = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        bundle = {"text/plain": repr(self), "text/html": self.table()}
        try:
            import ipywidgets
        except ImportError:
            return bundle
        shown = ipywidgets.HTML(self.table())

        def refresh() -> None:
            shown.value = self.table()

        row = ipywidgets.HBox(list(self.controls(refresh)), layout={"flex_flow": "row wrap"})
        box = ipywidgets.VBox([row, shown])
        return {**bundle, WIDGET: box._repr_mimebundle_()[WIDGET]}


def button(name: str, press: Callable[[], object], refresh: Callable[[], None]) -> Any:
    """Return a button that runs an action and then refreshes the display."""
    import ipywidgets

    def pressed(_: object) -> None:
        press()
        refresh()

    made = ipywidgets.Button(description=name, layout={"width": "auto"})
    made.on_click(pressed)
    return made


def as_table(head: Sequence[str], rows: Iterable[Sequence[object]], *, marked: int = -1) -> str:
    """Return an HTML table in which the row with the index ``marked`` is bold.

    >>> as_table(["event"], [["create"]]).count("<td")
    1
    """
    lines = [f"<tr>{''.join(_cell('th', name) for name in head)}</tr>"]
    for number, row in enumerate(rows):
        weight = " style='font-weight:bold'" if number == marked else ""
        lines.append(f"<tr{weight}>{''.join(_cell('td', value) for value in row)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _cell(kind: str, value: object) -> str:
    return f"<{kind} style='{CELL}'>{escape(str(value))}</{kind}>"


def side_by_side(*parts: tuple[str, str]) -> str:
    """Return HTML that shows the blocks side by side, each below its title.

    >>> side_by_side(("Redis", "<p>empty</p>")).count("<b>Redis</b>")
    1
    """
    blocks = "".join(f"<div><b>{escape(title)}</b>{html}</div>" for title, html in parts)
    return f"<div style='display:flex;flex-wrap:wrap;gap:2.5em'>{blocks}</div>"
