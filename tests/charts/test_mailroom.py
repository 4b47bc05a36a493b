"""Charts of the mailroom: mails per step, time in each state, and senders."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib

matplotlib.use("agg")

import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from eventlab import charts
from eventlab.events import Recorded

STATES = {"submitted": 40, "skipped": 2, "in_doubt": 1, "received": 3}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def happened(ms: int, id: str, type: str, version: int = 1) -> Recorded:
    return Recorded(position=f"{1767225600000 + ms}-0", id=id, version=version, type=type, data={})


# ------------------------------------------------------------------------------------------- funnel


def test_funnel_shows_the_mails_per_step_and_the_states_of_the_rest() -> None:
    figure = charts.funnel(STATES, title="T")
    figure.canvas.draw()
    [axes] = figure.axes
    assert (axes.get_title(loc="left"), axes.get_xlabel()) == ("T", "Mails")
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


# -------------------------------------------------------------------------------------------- stays


def seconds_in(figure: Figure) -> dict[str, list[float]]:
    figure.canvas.draw()
    [axes] = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    return {
        name: [float(x) for x, _ in dots.get_offsets()]
        for name, dots in zip(names, axes.collections, strict=True)
    }


def test_stays_lasts_until_the_next_event_of_the_mail() -> None:
    events = [
        happened(0, "a", "received"),
        happened(500, "b", "received"),
        happened(1000, "a", "submitting", 2),
        happened(1250, "a", "submitted", 3),
        happened(4500, "b", "submitting", 2),
        happened(6500, "b", "in_doubt", 3),
        happened(9500, "b", "confirmed", 4),
    ]
    figure = charts.stays(events, title="T")
    assert seconds_in(figure) == {
        "received": [1.0, 4.0],
        "submitting": [0.25, 2.0],
        "in doubt": [3.0],
    }
    assert figure.axes[0].get_xlabel() == "Time in the state"


def test_stays_counts_a_mail_as_received_again_after_unsent() -> None:
    events = [
        happened(0, "a", "received"),
        happened(1000, "a", "submitting", 2),
        happened(3000, "a", "unsent", 3),
        happened(8000, "a", "submitting", 4),
    ]
    assert seconds_in(charts.stays(events, title="T")) == {
        "received": [1.0, 5.0],
        "submitting": [2.0],
    }


def test_stays_ignores_events_that_change_no_state() -> None:
    events = [
        happened(0, "a", "received"),
        happened(300, "mailbox", "listed"),
        happened(400, "a", "submitting", 2),
        happened(500, "a", "late", 3),
        happened(600, "mailbox", "listed", 2),
        happened(1400, "a", "submitted", 4),
    ]
    assert seconds_in(charts.stays(events, title="T")) == {"received": [0.4], "submitting": [1.0]}


def test_stays_draws_a_zero_duration_on_a_logarithmic_axis() -> None:
    events = [happened(0, "a", "received"), happened(0, "a", "skipped", 2)]
    assert seconds_in(charts.stays(events, title="T")) == {"received": [0.001]}


# ---------------------------------------------------------------------------------------- by sender

MAILS = pd.DataFrame(
    [
        *[("example.com", "submitted")] * 3,
        ("example.com", "in_doubt"),
        *[("example.org", "submitted")] * 2,
        ("example.net", "refused"),
        ("", "submitted"),
        (None, "skipped"),
    ],
    columns=["domain", "state"],
)


def bars_of(figure: Figure) -> dict[str, list[tuple[float, float]]]:
    [axes] = figure.axes
    labels = [container.get_label().partition(" (")[0] for container in axes.containers]
    return {
        label: [(bar.get_x(), bar.get_width()) for bar in container]
        for label, container in zip(labels, axes.containers, strict=True)
    }


def test_by_sender_stacks_the_states_of_each_domain() -> None:
    figure = charts.by_sender(MAILS, title="T")
    figure.canvas.draw()
    [axes] = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[0] == "example.com"
    assert set(names[1:3]) == {"example.org", "(unknown)"}
    assert names[3] == "example.net"
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the busiest is on top"
    found = bars_of(figure)
    assert list(found) == ["submitted", "in doubt", "refused", "skipped"]
    assert found["submitted"][0] == (0, 3)
    assert found["in doubt"][0] == (3, 1)
    assert found["refused"][3] == (0, 1)
    assert found["skipped"][names.index("(unknown)")] == (1, 1)
    assert [text.get_text() for text in axes.texts] == ["4", "2", "2", "1"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["submitted (6)", "in doubt (1)", "refused (1)", "skipped (1)"]


def test_by_sender_groups_the_remaining_domains() -> None:
    figure = charts.by_sender(MAILS, title="T", most=2)
    figure.canvas.draw()
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names[0] == "example.com"
    assert names[2] == "2 others"
    assert [text.get_text() for text in figure.axes[0].texts] == ["4", "2", "3"]


def test_mailroom_charts_leave_the_global_style_unchanged() -> None:
    before = dict(matplotlib.rcParams)
    charts.funnel(STATES, title="T")
    charts.by_sender(MAILS, title="T")
    assert dict(matplotlib.rcParams) == before
