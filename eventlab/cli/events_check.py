"""``eventlab doctor --events``: find stored events that the current code cannot read."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Sequence
from typing import Any

from eventlab.accounts.account import Account
from eventlab.accounts.names import CATEGORY
from eventlab.accounts.views import AccountView, EventsByType, MoneyPerDay
from eventlab.aggregate import Aggregate
from eventlab.cli.checks import Check
from eventlab.cli.process import UsageError
from eventlab.mailroom.mail_view import MailView
from eventlab.mailroom.names import REAL_NAMES, SANDBOX_NAMES
from eventlab.mailroom.work_item import WorkItem
from eventlab.observe.shapes import Reader, StoredShape, stored_shapes
from eventlab.servers import connect
from eventlab.slices.store import open_store
from eventlab.store.store import Upcaster

REMEDY = "make the code read this shape, or add an upcaster that converts it to the newest shape"
#: The aggregate classes and views that read each category of this package.
READERS: dict[str, tuple[Reader, ...]] = {
    CATEGORY: (Account, AccountView(), MoneyPerDay(), EventsByType()),
    REAL_NAMES[0]: (WorkItem, MailView()),
    SANDBOX_NAMES[0]: (WorkItem, MailView()),
}


def check_events(
    category: str, readers: Sequence[str], upcasters: Sequence[str], *, as_json: bool
) -> int:
    """Print each event shape that a category stores, and whether the readers can apply the shape.

    A shape is an event's type with the names and types of the event's fields. Each of ``readers``
    and ``upcasters`` has the form MODULE:NAME. Returns the exit status.
    """
    chosen = [reader_named(name) for name in readers] or list(READERS.get(category, ()))
    if not chosen:
        raise UsageError(f"no known class reads category {category!r}: add --reader")
    lift = [_upcaster_named(name) for name in upcasters]
    with connect() as lab:
        found = stored_shapes(open_store(lab.redis, category), chosen, lift)
    if as_json:
        rows = [_row(stored) for stored in found]
        print(json.dumps({"category": category, "shapes": rows}, indent=2))
    else:
        print("\n".join(map(_line, found)) or f"category {category!r} has no events")
    return 0 if all(stored.ok for stored in found) else 1


def reader_named(name: str) -> Reader:
    """Import and return the aggregate class or view that MODULE:NAME refers to.

    Raises UsageError if there is no such class or view.
    """
    found = _imported(name, "--reader")
    if isinstance(found, type) and not issubclass(found, Aggregate) and hasattr(found, "apply"):
        try:
            found = found()
        except TypeError as error:
            raise UsageError(f"--reader {name}: {error}") from None
    if not hasattr(found, "apply"):
        raise UsageError(f"--reader {name} is neither an Aggregate nor a view")
    reader: Reader = found
    return reader


def _upcaster_named(name: str) -> Upcaster:
    found = _imported(name, "--upcaster")
    if not callable(found):
        raise UsageError(f"--upcaster {name} is not a function")
    upcaster: Upcaster = found
    return upcaster


def _imported(name: str, option: str) -> Any:
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise UsageError(f"{option} {name!r} must be MODULE:NAME, such as cart:Cart")
    if "" not in sys.path:
        sys.path.insert(0, "")  # like python -m, find modules in the current directory
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{option} {name}: {error}") from None


def _line(stored: StoredShape) -> str:
    sample = stored.sample
    detail = f"{stored.count:,} {'event' if stored.count == 1 else 'events'}"
    if stored.ok:
        return _check(Check(stored.shape, True, detail))
    errors = "; ".join(f"{name} raises {error!r}" for name, error in stored.errors.items())
    where = f"such as version {sample.version} of {sample.id!r}"
    return _check(Check(stored.shape, False, f"{detail}, {where}: {errors}", REMEDY))


def _check(check: Check) -> str:
    line = f"{'OK' if check.ok else 'FAIL':<6}{check.name}: {check.detail}"
    return line if check.ok else f"{line}: {check.remedy}"


def _row(stored: StoredShape) -> dict[str, object]:
    sample = stored.sample
    return {
        "shape": stored.shape,
        "ok": stored.ok,
        "events": stored.count,
        "sample": {"id": sample.id, "version": sample.version, "position": sample.position},
        "errors": stored.errors,
    }
