"""The common style of all figures: colors, and functions to create and display a figure."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Iterator
from importlib import resources
from typing import Final

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

# Okabe and Ito's palette (https://jfly.uni-koeln.de/color/): distinct for all color vision.
BLUE: Final = "#0072B2"
ORANGE: Final = "#D55E00"
GREEN: Final = "#009E73"
PURPLE: Final = "#CC79A7"
YELLOW: Final = "#E69F00"
GREY: Final = "#595959"


@contextlib.contextmanager
def figure(title: str, *, height: float = 4.2) -> Iterator[tuple[Figure, Axes]]:
    """Create a figure in the common style (eventlab.mplstyle).

    ``height`` is in inches. The global style is restored at the end of the ``with`` block.
    """
    with (
        resources.as_file(resources.files("eventlab.charts") / "eventlab.mplstyle") as look,
        plt.style.context(look),
    ):
        drawn, axes = plt.subplots(figsize=(9, height))
        axes.set_title(title)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        yield drawn, axes


def show(alt: str) -> None:
    """Display the current figure in a notebook, and close it.

    ``alt`` describes the figure in words, for screen readers and for tools that compare notebooks.
    """
    from IPython.display import display

    picture = io.BytesIO()
    drawn = plt.gcf()
    drawn.savefig(picture, format="png")
    plt.close(drawn)
    data = {"image/png": base64.b64encode(picture.getvalue()).decode(), "text/plain": alt}
    display(data, raw=True, metadata={"image/png": {"alt": alt}})  # type: ignore[no-untyped-call]
