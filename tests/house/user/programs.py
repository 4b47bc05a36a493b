"""What a user's programs print, and the README's example as one of them."""

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
}


def readme_example() -> str:
    """Return the README's Python code, whose last comment shows what the last line returns."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    return code


def write_programs(folder: Path) -> list[Path]:
    """Write the programs into a folder and return their paths."""
    for name in PRINTS:
        text = (
            readme_example() if name == "readme.py" else (HERE / name).read_text(encoding="utf-8")
        )
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in PRINTS]
