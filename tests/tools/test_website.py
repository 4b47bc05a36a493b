"""The website's collector of links, and the completeness of its API reference."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

import eventlab
import eventlab.errors
import eventlab.testing
from tools.website import SITE, broken_links, collect


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a website of two pages and a picture."""
    (tmp_path / "pages").mkdir()
    (tmp_path / "index.html").write_text('<a href="pages/a%20b.html#end">b</a><img src="p.svg">')
    (tmp_path / "pages" / "a b.html").write_text('<h1 id="end">b</h1><a href="#end">up</a>')
    (tmp_path / "p.svg").write_text("<svg/>")
    return tmp_path


def test_broken_links_accepts_files_anchors_and_other_sites(site: Path) -> None:
    (site / "more.html").write_text(
        '<a href="https://example.org/none">x</a><a href="mailto:a@b">y</a><a href="pages/">z</a>'
    )
    (site / "pages" / "index.html").write_text("")
    assert list(broken_links(site)) == []


@pytest.mark.parametrize(
    "target", ["none.html", "pages/a%20b.html#none", "#none", "none.svg", "pages/"]
)
def test_broken_links_names_the_page_and_the_target(site: Path, target: str) -> None:
    (site / "more.html").write_text(f'<a href="{target}">x</a>')
    assert list(broken_links(site)) == [f"more.html: {target}"]


def test_anchors_of_jupyterlab_become_those_of_sphinx(tmp_path: Path) -> None:
    collect(tmp_path)
    pages = [path.read_text("utf-8") for path in (tmp_path / "notebooks").glob("*.ipynb")]
    assert any("00_start_here.ipynb#the-map" in page for page in pages)
    assert not any(".ipynb#The-map" in page for page in pages)
    assert any("](#when-not-to)" in page for page in pages)  # a link within the page
    assert not any("](#When-not-to)" in page for page in pages)


def test_website_has_each_stylesheet_that_its_configuration_names(tmp_path: Path) -> None:
    collect(tmp_path)
    settings = runpy.run_path(str(tmp_path / "conf.py"))
    folders = settings["html_static_path"]
    for name in settings["html_css_files"]:
        assert any((tmp_path / folder / name).is_file() for folder in folders), name


def test_reference_has_every_public_name() -> None:
    pages = "".join(path.read_text("utf-8") for path in (SITE / "reference").glob("*.md"))
    assert "automodule:: eventlab.errors" in pages
    assert "automodule:: eventlab.testing" in pages
    public = set(eventlab.__all__) - set(dir(eventlab.errors)) - {"__version__"}
    lacking = {n for n in public if f"eventlab.{n}\n" not in pages and f"`{n}`" not in pages}
    assert lacking == set()


def test_every_guide_is_in_the_table_of_contents() -> None:
    contents = (SITE / "index.md").read_text("utf-8")
    guides = {path.stem for path in SITE.parent.glob("*.md")}
    assert {guide for guide in guides if f"\ndocs/{guide}\n" not in contents} == set()
