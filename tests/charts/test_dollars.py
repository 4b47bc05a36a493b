"""Labels are shown as they are: a $ in a name or an event type is no mathematics."""

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
NAMES = (r"$\nonsense$", f"${'{' * 3000}{'}' * 3000}$")


def events(name: str) -> list[Recorded]:
    return [
        Recorded(name, 1, "create", {}, "1551312621884-0"),
        Recorded(name, 2, "deposit", {"amount": 100, "domain": name}, "1551312827949-0"),
        Recorded(name, 3, "withdraw", {"amount": 30}, "1551312847014-0"),
    ]


def ladder(name: str) -> Figure:
    rungs = pd.DataFrame({"off": [100, 0], "rate": [1.0, 2.0]}, index=[name, "b"])
    return charts.ladder(rungs, title=name, unit=name)


def by_day(name: str) -> Figure:
    days = pd.DataFrame({name: [3, 4], "b": [1, 2]}, index=["2026-01-01", "2026-01-02"])
    return charts.by_day(days, title=name, unit=name)


def lag(name: str) -> Figure:
    samples = pd.DataFrame({"s": [1.0, 2.0, 3.0], "events": [0, 5, 0]})
    return charts.lag(samples, {name: 2.0}, title=name)


def by_sender(name: str) -> Figure:
    mails = pd.DataFrame({"domain": [name, "b"], "state": [name, "submitted"], "automatic": None})
    return charts.by_sender(mails, title=name)


def pending(name: str) -> Figure:
    states = pd.DataFrame(
        {"moment": name, "event": [name, "b"], "state": [name, "done"], "deliveries": [1, 1]}
    )
    return charts.pending(states, title=name)


def timeline(name: str) -> Figure:
    first, second, _ = events(name)
    followers = {name: second.position, "b": first.position}
    named = [Recorded(name, 1, name, {}, first.position), second]
    return charts.timeline(named, followers, title=name, unfinished={name: [second.position]})


def shifts(name: str) -> Figure:
    work = pd.DataFrame({"consumer": [name, "b"], "s": [1.0, 2.0], "again": [False, True]})
    return charts.shifts(work, [(name, 2.0)], title=name)


def race(name: str) -> Figure:
    attempts = pd.DataFrame({"writer": [0, 1], "ms": [1.0, 2.0], "won": [True, False]})
    return charts.race(attempts, title=name)


def stays(name: str) -> Figure:
    life = [
        Recorded(name, 1, "received", {}, "1551312621884-0"),
        Recorded(name, 2, "submitting", {}, "1551312621894-0"),
    ]
    return charts.stays(life, title=name)


DRAWINGS: dict[str, Callable[[str], Figure]] = {
    "balance": lambda name: charts.balance(events(name), title=name, unit=name),
    "ladder": ladder,
    "by_day": by_day,
    "by_sender": by_sender,
    "funnel": lambda name: charts.funnel({"submitted": 3, "held": 1}, title=name),
    "lag": lag,
    "pending": pending,
    "race": race,
    "shifts": shifts,
    "stays": stays,
    "timeline": timeline,
    "bars": lambda name: charts.bars({name: 1.0, "b": 2.0}, title=name, unit=name, ours=name),
    "growth": lambda name: charts.growth(
        pd.DataFrame({name: [1.0, 2.0], "b": [1.0, 3.0]}, index=[1, 2]),
        title=name,
        xlabel=name,
        ylabel=name,
        ours=name,
    ),
    "shares": lambda name: charts.shares({name: [1.0, 2.0], "b": [2.0]}, title=name, unit=name),
    "waits": lambda name: charts.waits({name: [1.0, 2.0], "b": [2.0]}, title=name, ours=name),
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
    """Matplotlib writes them as mathematics, which must not be shown as its source."""
    figure = DRAWINGS[chart]("a")
    figure.canvas.draw()
    shown = [text for text in figure.findobj(Text) if "$" in text.get_text()]
    assert [text.get_text() for text in shown if not text.get_parse_math()] == []
