"""How many examples a property is tried on."""

from __future__ import annotations

#: Whether this is ``make test-all``; conftest.py sets it before it collects the tests.
is_all = False


def examples(number: int) -> int:
    """Return this number in ``make test-all``; in ``make test`` a fifth of it, at least ten."""
    return number if is_all else max(10, number // 5)
