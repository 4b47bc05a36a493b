"""The table of messages lists every sentence of the package once, and no docstring."""

from __future__ import annotations

from pathlib import Path

from tools.messages import messages, table

PROGRAM = '''
"""A docstring of a module."""

def f(name, parser, log):
    """A docstring of a function."""
    log.info("view %s: working now", name)
    parser.add_argument("--name", help="the name of it")
    if not name:
        raise ValueError(f"{name!r} is empty: " "give it a name")
    return "a text without a kind", "two words"
'''


def test_messages_have_their_kind_and_no_docstring(tmp_path: Path) -> None:
    (tmp_path / "eventlab").mkdir()
    (tmp_path / "eventlab" / "f.py").write_text(PROGRAM, "utf-8")
    assert [(message.kind, message.text) for message in messages(tmp_path)] == [
        ("error", "{name} is empty: give it a name"),
        ("help", "the name of it"),
        ("log", "view %s: working now"),
        ("text", "a text without a kind"),
    ]


def test_table_is_one_row_per_message() -> None:
    found = messages()
    assert len(table(found).splitlines()) == len(found) + 2
    assert any(message.file == "eventlab/errors.py" for message in found)
