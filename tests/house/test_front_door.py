"""``import eventlab`` offers every public name, and loads each only when it is used."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

import eventlab
from tests.house.rooms import PACKAGE, tree_of


def imported_for_types() -> dict[str, set[str]]:
    """Return the names that type checkers see, by the module that they come from."""
    tree = tree_of(PACKAGE / "__init__.py")
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    found = {}
    for node in block.body:
        if isinstance(node, ast.ImportFrom):
            found[node.module or ""] = {alias.name for alias in node.names}
    return found


def test_type_checkers_and_python_see_the_same_names() -> None:
    homes = {module: set(names) for module, names in eventlab._HOMES.items()}
    assert imported_for_types() == homes
    assert {*eventlab.__all__} == {name for names in homes.values() for name in names} | {
        "__version__"
    }


@pytest.mark.parametrize("name", eventlab.__all__)
def test_public_name_is_found(name: str) -> None:
    assert getattr(eventlab, name) is not None
    assert name in dir(eventlab)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'eventlab' has no attribute 'no_such_name'"):
        _ = eventlab.no_such_name


def test_import_loads_no_driver() -> None:
    code = "import eventlab, sys; print({'redis', 'pymongo', 'msgspec'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
