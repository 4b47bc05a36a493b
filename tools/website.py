"""Build the website, with the course, the guides and the API reference, as static HTML.

    python -m tools.website [--output FOLDER]

Sphinx reads copies of the pages, in the same folder structure as in the repository, so that links
work both on GitHub and on the website.  The notebooks show their stored outputs and are not run.
The exit status is 1 if Sphinx reports a warning or an internal link is broken.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "docs" / "site"
OUTPUT = ROOT / "build" / "site"
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "LICENSE",
    "docs/*.md",
    "notebooks/*.ipynb",
    "notebooks/pictures/*",
    "tests/house/user/*.py",
)

# JupyterLab keeps the capitals of a heading in its anchor, but Sphinx does not.
_LAB_ANCHOR = re.compile(r"(?:\.ipynb|\]\()#[\w-]+")


class Links(HTMLParser):
    """The anchors of a page and the targets of its links.

    >>> page = Links('<h1 id="top"><a href="other.html#x">x</a></h1>')
    >>> page.anchors, page.targets
    ({'top'}, ['other.html#x'])
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.targets: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the anchor and the link target of one tag."""
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)
            elif name in ("href", "src"):
                self.targets.append(value)


def broken_links(site: Path) -> Iterator[str]:
    """Yield the internal links of a website whose target file or anchor does not exist."""
    pages = {
        path: Links(path.read_text("utf-8"))
        for path in site.rglob("*.html")
        if "_static" not in path.parts  # these are templates of the theme
    }
    for path, page in pages.items():
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if file.is_dir():
                file /= "index.html"
            anchor = unquote(parts.fragment)
            missing = anchor and file in pages and anchor not in pages[file].anchors
            if not file.exists() or missing:
                yield f"{path.relative_to(site)}: {target}"


def collect(source: Path) -> None:
    """Copy everything that Sphinx reads to an empty folder."""
    shutil.copytree(SITE, source, dirs_exist_ok=True)
    for pattern in PAGES:
        for path in ROOT.glob(pattern):
            copy = source / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    for notebook in source.glob("notebooks/*.ipynb"):
        notebook.write_text(_LAB_ANCHOR.sub(_lowered, notebook.read_text("utf-8")), "utf-8")


def _lowered(found: re.Match[str]) -> str:
    return found[0].lower()


def build(output: Path) -> int:
    """Build the website; return Sphinx's exit status, which is 1 if there is a warning."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        collect(source)
        options = ["-q", "-W", "--keep-going", "-b", "html", "-d", str(Path(folder) / "state")]
        command = [sys.executable, "-m", "sphinx", *options, str(source), str(output)]
        return subprocess.run(command, check=False).returncode


def main() -> int:
    """Build the website and check its links; return the exit status."""
    parser = argparse.ArgumentParser(description="Build the website as static HTML.")
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, help="folder of the website (default: build/site)"
    )
    output = parser.parse_args().output.resolve()
    shutil.rmtree(output, ignore_errors=True)
    if status := build(output):
        return status
    if broken := list(broken_links(output)):
        print("Broken links:", *broken, sep="\n  ", file=sys.stderr)
        return 1
    print(f"The website is in {output}: open {output / 'index.html'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
