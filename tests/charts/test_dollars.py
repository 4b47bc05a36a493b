"""Labels are shown as they are: a $ in a name or an event type does not start a formula."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import matplotlib

matplotlib.use("agg")

import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.text import Text

from eventlab import Recorded, charts

#: As mathematics, the first is a ValueError when it is drawn and the second a RecursionError.
NAMES = (r"$\nonsense$", f"${'{' * 500}{'}' * 500}$")


def events(name: str) -> list[Recorded]:
    return [
        Recorded(name, 1, "create", {}, "1551312621884-0"),
        Recorded(name, 2, "deposit", {"amount": 100, "domain": name}, "1551312827949-0"),
        Recorded(name, 3, "withdraw", {"amount": 30}, "1551312847014-0"),
    ]


def ladder(name: str) -> Figure:
    rungs = pd.DataFrame({"off": [100, 0], "rate": [1.0, 2.0]}, index=[name, "b"])
    return charts.ladder(rungs, title=name, unit=name)


def pending(name: str) -> Figure:
    states = pd.DataFrame(
        {"moment": name, "event": [name, "b"], "state": [name, "done"], "deliveries": [1, 1]}
    )
    return charts.pending(states, title=name)


DRAWINGS: dict[str, Callable[[str], Figure]] = {
    "balance": lambda name: charts.balance(events(name), title=name, unit=name),
    "ladder": ladder,
    "funnel": lambda name: charts.funnel({"submitted": 3, "held": 1}, title=name),
    "pending": pending,
    "bars": lambda name: charts.bars({name: 1.0, "b": 2.0}, title=name, unit=name, ours=name),
    "growth": lambda name: charts.growth(
        pd.DataFrame({name: [1.0, 2.0], "b": [1.0, 3.0]}, index=[1, 2]),
        title=name,
        xlabel=name,
        ylabel=name,
        ours=name,
    ),
}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.mark.parametrize("name", NAMES, ids=["unknown command", "nested braces"])
@pytest.mark.parametrize("chart", DRAWINGS)
def test_chart_shows_a_dollar_as_a_dollar(chart: str, name: str) -> None:
    figure = DRAWINGS[chart](name)
    figure.set_layout_engine("none")  # no layout of a label that is wider than the figure
    figure.canvas.draw()
    shown = [text for text in figure.findobj(Text) if name in text.get_text()]
    assert shown
    assert [text.get_text() for text in shown if text.get_parse_math()] == []


@pytest.mark.parametrize("chart", DRAWINGS)
def test_chart_shows_powers_of_ten_as_numbers(chart: str) -> None:
    """Matplotlib writes them as formulas, whose source must not be shown."""
    figure = DRAWINGS[chart]("a")
    figure.canvas.draw()
    shown = [text for text in figure.findobj(Text) if "$" in text.get_text()]
    assert [text.get_text() for text in shown if not text.get_parse_math()] == []
