"""What a user's programs print, among them the examples of the README and the docs."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parents[2] / "README.md"
PRINTS = {
    "cart.py": [
        "cart 'cart1' is empty",
        "{'tea': 2}",
        "{'_id': 'tea', 'quantity': 2}",
        "ship cart1",
    ],
    "cart_checks.py": ["passed"],
    "web.py": ['{"count":1}', '{"count":2}'],
    "readme.py": [],
    "asyncio_page.py": ["100"],
    "guide.py": ["{'_id': '2026-12-24', 'rooms': {'green': True, 'red': True}}"],
}
#: Programs that are the Python code of a page.
PAGES = {
    "readme.py": README,
    "asyncio_page.py": README.parent / "docs" / "asyncio.md",
    "guide.py": README.parent / "docs" / "use-the-library.md",
}


def readme_example() -> str:
    """Return the README's Python code, whose last comment shows what the last line returns."""
    return code_of(README)


def code_of(page: Path) -> str:
    """Return the Python code of a page: its blocks, one after the other."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return "\n".join(blocks)


def write_programs(folder: Path) -> list[Path]:
    """Write the programs into a folder and return their paths."""
    for name in PRINTS:
        text = code_of(PAGES[name]) if name in PAGES else (HERE / name).read_text("utf-8")
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in PRINTS]
