"""What a user's programs print, among them the examples of the README and the docs."""

from __future__ import annotations

import json
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
    "functional_style.py": ["[Event(type='withdrawn', data={'amount': 30})]"],
    "from_tables.py": [
        "2 1",
        "[]",
        "['b1']",
        "[]",
        "{'_id': 'a1', 'balance': 70, 'owner': 'Ann'}",
        "account 'a1' has only 50",
        "[]",
    ],
}
#: A program in several files: each block of the page begins with a comment that names its file.
STARTER = README.parent / "docs" / "use-the-library.md"
#: The pages of the course that show an aggregate for ``mypy --strict``.
TYPED_DOOR = README.parent / "notebooks" / "03_replay_aggregates.ipynb"
TYPED = README.parent / "notebooks" / "04_design_events.ipynb"
#: Programs that are the Python code of a page.
PAGES = {
    "readme.py": README,
    "asyncio_page.py": README.parent / "docs" / "asyncio.md",
    "functional_style.py": README.parent / "docs" / "functional-style.md",
    "from_tables.py": README.parent / "docs" / "from-tables.md",
}


def readme_example() -> str:
    """Return the README's Python code, whose last comment shows what the last line returns."""
    return code_of(README)


def code_of(page: Path) -> str:
    """Return the Python code of a page: its blocks, one after the other."""
    return "\n".join(blocks_of(page))


def blocks_of(page: Path) -> list[str]:
    """Return the blocks of Python code of a page."""
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def write_starter(folder: Path) -> list[Path]:
    """Write the files of the starter into a folder, as a reader copies them."""
    paths = []
    for block in blocks_of(STARTER):
        path = folder / block.partition("\n")[0].removeprefix("# ")
        path.write_text(block, encoding="utf-8")
        paths.append(path)
    return paths


def starter_commands() -> list[tuple[list[str], str]]:
    """Return the words after ``python`` of the starter's commands, and what each prints."""
    lines = re.findall(r"^python (main.py .*)$", STARTER.read_text(encoding="utf-8"), re.MULTILINE)
    parts = [line.partition("#") for line in lines]
    return [(command.split(), output.strip()) for command, _, output in parts]


def write_typed_aggregate(folder: Path) -> Path:
    """Write the typed aggregate of the course into a folder, with what its page has imported."""
    cells = ["".join(cell["source"]) for cell in json.loads(TYPED.read_text("utf-8"))["cells"]]
    [shown] = [cell for cell in cells if "class TypedCustomer(" in cell]
    code, _, _ = shown.partition("\nprint(")
    path = folder / "typed_aggregate.py"
    path.write_text(f"import msgspec\n\nfrom eventlab import Aggregate, Event\n{code}\n", "utf-8")
    return path


def write_typed_door(folder: Path) -> Path:
    """Write the door that page 03 shows with its types into a folder."""
    cells = ["".join(cell["source"]) for cell in json.loads(TYPED_DOOR.read_text("utf-8"))["cells"]]
    [shown] = [cell for cell in cells if "class Door(Aggregate)" in cell and "```python\n" in cell]
    path = folder / "typed_door.py"
    path.write_text(shown.partition("```python\n")[2].partition("```")[0], "utf-8")
    return path


def write_programs(folder: Path) -> list[Path]:
    """Write the programs into a folder and return their paths."""
    for name in PRINTS:
        text = code_of(PAGES[name]) if name in PAGES else (HERE / name).read_text("utf-8")
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in PRINTS]
