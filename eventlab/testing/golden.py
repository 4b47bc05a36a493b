"""Golden events: one sample of each event shape ever written. Every sample must stay readable.

The samples are in a file of JSON lines. Lines are added but never removed, because an event that
was stored once is stored forever.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from eventlab.events import Event, Recorded, encode_json
from eventlab.observe.shapes import Reader, read_again, shape_of
from eventlab.store.store import Upcaster
from eventlab.testing.history import EXAMPLE


def golden_events(path: Path) -> list[Event]:
    """Return the samples in a file, or an empty list if the file does not exist yet."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [msgspec.json.decode(line, type=Event) for line in lines]


def check_golden(
    path: Path,
    *,
    readers: Sequence[Reader],
    written: Iterable[Event | Recorded] = (),
    upcasters: Sequence[Upcaster] = (),
    update: bool = False,
) -> None:
    """Check that the current code reads every sample, and that the file lacks no shape.

    ``written`` contains events as the current code writes them. The file must have a sample with
    the shape of each of these events. Run the test once with ``update=True`` to add the missing
    samples. Each sample is read on its own, so a reader that needs an earlier event fails.
    """
    __tracebackhide__ = True
    samples = golden_events(path)
    known = {shape_of(sample) for sample in samples}
    missing: dict[str, Event | Recorded] = {}
    for event in written:
        shape = shape_of(event)
        if shape not in known:
            missing.setdefault(shape, event)
    if missing and update:
        lines = [encode_json({"type": e.type, "data": e.data}).decode() for e in missing.values()]
        with path.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        samples = golden_events(path)
    elif missing:
        raise AssertionError(
            f"{path} has no sample of {', '.join(missing)}: check that each new shape is intended, "
            f"then run this test once with update=True, and commit the file"
        )
    for number, sample in enumerate(samples, 1):
        recorded = Recorded(EXAMPLE, 1, sample.type, sample.data, "1-0", sample.meta)
        [(_, errors)] = read_again(EXAMPLE, [recorded], readers, upcasters)
        for name, error in errors.items():
            raise AssertionError(
                f"{name} cannot read {shape_of(sample)}, line {number} of {path}: {error}. "
                "Events of this shape are stored: make the code read them, or add an upcaster"
            )
