"""The shapes of stored events, and the shapes that the current code cannot read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from eventlab.aggregate import Aggregate
from eventlab.events import Event, Recorded
from eventlab.projections.view import Changes, View
from eventlab.store.store import EventStore, Upcaster

#: An aggregate class or a view, which must be able to apply every stored event.
Reader = type[Aggregate] | View

MAX_DEPTH: Final = 4  # of nested objects; deeper values are not distinguished
KINDS: Final = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


def shape_of(event: Event | Recorded) -> str:
    """Return the type of an event with the names and types of its fields.

    >>> shape_of(Event("deposit", {"amount": 100, "tags": ["a", "b"]}))
    'deposit(amount: integer, tags: [string])'
    """
    name = event.type if event.type.isprintable() else repr(event.type)
    return f"{name}({_fields(event.data, MAX_DEPTH)})"


def _fields(data: dict[str, Any], depth: int) -> str:
    names = {key: key if key.isidentifier() else repr(key) for key in data}
    return ", ".join(f"{names[key]}: {_kind(data[key], depth)}" for key in sorted(data))


def _kind(value: Any, depth: int) -> str:
    if isinstance(value, dict):
        return f"{{{_fields(value, depth - 1) if depth else '…'}}}"
    if isinstance(value, list):
        kinds = {_kind(item, depth - 1) for item in value} if depth else {"…"}
        return f"[{' | '.join(sorted(kinds))}]"
    return KINDS[type(value)]


@dataclass
class StoredShape:
    """A shape of stored events, with their number, an example, and the errors of the readers."""

    shape: str
    sample: Recorded
    count: int = 0
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every reader can apply the shape."""
        return not self.errors


def stored_shapes(
    store: EventStore, readers: Sequence[Reader], upcasters: Sequence[Upcaster] = ()
) -> list[StoredShape]:
    """Return each stored shape, with the readers that cannot apply it even after upcasting.

    The function reads the aggregate logs, which are complete even after a trim. The ``store`` must
    have no upcasters of its own.

    >>> [found.shape for found in stored_shapes(store, [Account, AccountView()])]
    ['create()', 'deposit(amount: integer)']
    """
    found: dict[str, StoredShape] = {}
    for id in store.ids():
        events = (event for page in store.pages(id) for event in page.events)
        for event, errors in read_again(id, events, readers, upcasters):
            shape = shape_of(event)
            stored = found.setdefault(shape, StoredShape(shape, event))
            stored.count += 1
            if errors and not stored.errors:
                stored.sample = event
                stored.errors = errors
    return [found[shape] for shape in sorted(found)]


def read_again(
    id: str,
    events: Iterable[Recorded],
    readers: Sequence[Reader],
    upcasters: Sequence[Upcaster] = (),
) -> Iterator[tuple[Recorded, dict[str, str]]]:
    """Yield each event of an aggregate, with the errors of the readers, keyed by reader name.

    After an aggregate has failed, it applies no more events, because its state is unknown.
    """
    appliers = {_name(reader): _applier(reader, id) for reader in readers}
    for event in events:
        errors: dict[str, str] = {}
        lifted = event
        for upcast in upcasters:
            try:
                lifted = upcast(lifted)
            except Exception as error:  # noqa: BLE001 - an upcaster is user code
                errors[getattr(upcast, "__name__", "upcaster")] = _text(error)
                break
        for name, apply in [] if errors else list(appliers.items()):
            try:
                apply(lifted)
            except Exception as error:  # noqa: BLE001 - a reader is user code
                errors[name] = _text(error)
                if apply.is_aggregate:
                    del appliers[name]
        yield event, errors


@dataclass(frozen=True)
class _Applier:
    call: Callable[[Recorded], None]
    is_aggregate: bool

    def __call__(self, event: Recorded) -> None:
        self.call(event)


def _applier(reader: Reader, id: str) -> _Applier:
    if isinstance(reader, type):
        aggregate = reader(id)
        return _Applier(lambda event: _replay(aggregate, event), is_aggregate=True)
    return _Applier(lambda event: _fold(reader, event), is_aggregate=False)


def _replay(aggregate: Aggregate, event: Recorded) -> None:
    aggregate.replay([event])


def _fold(view: View, event: Recorded) -> None:
    changes = Changes()
    view.apply(event, changes)
    for change in changes.values():
        change.update()


def _name(reader: Reader) -> str:
    return reader.__name__ if isinstance(reader, type) else type(reader).__name__


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
