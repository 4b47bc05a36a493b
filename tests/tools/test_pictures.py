"""The pictures of mechanisms are what the script draws, and legible in both themes."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tools.drawing import DARK, LIGHT, Drawing
from tools.pictures import FOLDER, PICTURES


def luminance(color: str) -> float:
    """Return the relative luminance of a color, as WCAG 2 defines it."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colors, from 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_folder_holds_exactly_the_pictures_of_the_script() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(PICTURES)


@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_what_the_script_draws(name: str) -> None:
    drawn = PICTURES[name]().svg()
    assert (FOLDER / f"{name}.svg").read_text("utf-8") == drawn, "run python -m tools.pictures"
    root = ElementTree.fromstring(drawn)
    assert root.findtext("{http://www.w3.org/2000/svg}title")
    assert "prefers-color-scheme: dark" in drawn


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_legible(name: str, palette: dict[str, str]) -> None:
    inks = PICTURES[name]().inks
    assert inks
    pale = {pair: contrast(*(palette[part] for part in pair)) for pair in inks}
    assert {pair: round(found, 1) for pair, found in pale.items() if found < 4.5} == {}


def test_drawing_rejects_a_text_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        Drawing("", 200, 100).box(0, 0, 40, 20, "a text of some length")
    with pytest.raises(ValueError, match="does not fit"):
        Drawing("", 200, 100).text(150, 10, "beyond the right edge")
