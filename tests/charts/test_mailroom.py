"""The chart of the mailroom: mails per step."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib

matplotlib.use("agg")

import pytest
from matplotlib import pyplot as plt

from eventlab import charts

STATES = {"submitted": 40, "skipped": 2, "in_doubt": 1, "received": 3}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def test_funnel_shows_the_mails_per_step_and_the_states_of_the_rest() -> None:
    figure = charts.funnel(STATES, title="T")
    figure.canvas.draw()
    [axes] = figure.axes
    assert (axes.get_title(loc="left"), axes.get_xlabel()) == ("T", "Emails")
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "in the inbox",
        "for an agent",
        "accepted by CXone",
    ]
    went_on, stayed = axes.patches[0::2], axes.patches[1::2]
    assert [bar.get_width() for bar in went_on] == [46, 44, 40]
    assert [(bar.get_x(), bar.get_width()) for bar in stayed] == [(46, 0), (44, 2), (40, 4)]
    words = [text.get_text() for text in axes.texts]
    assert words == ["46", "", "44", "2 skipped", "40", "3 received, 1 in doubt"]


def test_funnel_keeps_all_text_inside_the_figure() -> None:
    states = {
        "submitted": 1000,
        "received": 11,
        "submitting": 10,
        "in_doubt": 10,
        "held": 10,
        "refused": 10,
    }
    figure = charts.funnel(states, title="T")
    figure.canvas.draw()
    for text in figure.axes[0].texts:
        assert text.get_window_extent().x1 <= figure.bbox.x1, text.get_text()


def test_funnel_draws_without_mails() -> None:
    charts.funnel({}, title="T").canvas.draw()


def test_funnel_rejects_an_unknown_state() -> None:
    with pytest.raises(ValueError, match="unknown mail states: lost"):
        charts.funnel({"lost": 1}, title="T")


def test_mailroom_charts_leave_the_global_style_unchanged() -> None:
    before = dict(matplotlib.rcParams)
    charts.funnel(STATES, title="T")
    assert dict(matplotlib.rcParams) == before
