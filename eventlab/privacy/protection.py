"""Encrypts protected fields, which are readable as long as the person's key exists.

A protected field is stored as ``{"person": "customer-7", "sealed": "…"}``. The value of ``sealed``
is encrypted with AES-256-GCM and the person's key, and encoded in base64. The nonce is derived from
the key and the content (as in SIV modes), so a request that is sent twice produces the same event,
and a repeat is recognized. A reader without the key can still see the approximate length of a
value, and whether a field has the same value in two events of the same type and aggregate.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import msgspec

from eventlab.errors import CorruptEvent, InvalidArgument, InvalidEvent
from eventlab.events import Event, Recorded, encode_json, plain_json
from eventlab.privacy.person_keys import KEY_BYTES, PersonKeys

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "eventlab.privacy needs cryptography: pip install 'eventlab[privacy]'",
        name=error.name,
    ) from error

SEALED: Final = {"person", "sealed"}
NONCE_BYTES: Final = 12
PADDING: Final = 32  # values are padded to a multiple of this, to hide their exact length


class Forgotten(str):
    """The string that a read returns in place of a protected field after the key was destroyed.

    >>> isinstance(FORGOTTEN, Forgotten), str(FORGOTTEN)
    (True, '(forgotten)')
    """

    __slots__ = ()


FORGOTTEN: Final = Forgotten("(forgotten)")


def person_is_aggregate(id: str, event: Event) -> str:  # noqa: ARG001 - the signature of `person=`
    """Return the aggregate's id as the person's id, for aggregates that are about one person."""
    return id


class Protection:
    """Defines which fields of which events an ``EventStore`` protects, and with whose key.

    ``fields`` maps an event type to the names of its protected fields; a field can hold any JSON
    value. ``person`` takes the aggregate's id and the event, and returns the person whose key
    protects the event (default: the aggregate is the person). All other fields are stored as they
    are, so aggregates and views still work after a person is forgotten. In place of the protected
    fields, they see ``FORGOTTEN``.

    Events that were stored before a field was protected stay readable, even after ``forget``.

    Raises InvalidArgument if ``fields`` is empty, or if an event type has no field names. An append
    raises PersonForgotten for a person who was forgotten. A read raises PersonKeyMissing if the
    Redis of ``keys`` has never had the key, and CorruptEvent if an encrypted field was modified.

    >>> protection = Protection(PersonKeys(lab.redis), {"registered": ["name", "email"]})
    >>> store = EventStore(lab.redis, "customers", protection=protection)
    >>> store.append("customer-7", [Event("registered", {"name": "Ann"})], expected=NEW)
    [Recorded(id='customer-7', version=1, type='registered', data={'name': 'Ann'}, position='…-0')]
    >>> keys.forget("customer-7")
    Erased(person='customer-7', had_key=True, rewritten=True)
    >>> store.read("customer-7")[0].data
    {'name': '(forgotten)'}
    """

    def __init__(
        self,
        keys: PersonKeys,
        fields: Mapping[str, Collection[str]],
        *,
        person: Callable[[str, Event], str] = person_is_aggregate,
    ) -> None:
        if not fields or any(isinstance(names, str) or not names for names in fields.values()):
            raise InvalidArgument(
                f"fields={fields!r} must map each event type to the names of its protected fields"
            )
        self._keys = keys
        self._fields = {type: frozenset(names) for type, names in fields.items()}
        self._person = person

    def seal(self, id: str, event: Event) -> Event:
        """Return an event with its protected fields encrypted."""
        if not isinstance(event.data, dict):
            return event  # the store rejects the event with an error of its own
        for name, value in event.data.items():
            if _is_sealed(value):
                raise InvalidEvent(
                    f"{name} has the form of an encrypted field: use keys other "
                    "than person and sealed"
                )
        names = self._fields.get(event.type, frozenset()) & event.data.keys()
        if not names:
            return event
        person = self._person(id, event)
        key = self._keys.key_for_writing(person)
        data = dict(event.data)
        for name in names:
            text, _ = plain_json(data[name], name)
            about = _about(id, event.type, name, person)
            data[name] = {"person": person, "sealed": _encrypt(key, text, about)}
        return msgspec.structs.replace(event, data=data)

    def reveal(self, event: Recorded) -> Recorded:
        """Return an event with its protected fields decrypted, or replaced with FORGOTTEN."""
        sealed = [name for name, value in event.data.items() if _is_sealed(value)]
        if not sealed:
            return event
        data = dict(event.data)
        for name in sealed:
            data[name] = self._revealed(event, name, data[name])
        return msgspec.structs.replace(event, data=data)

    def _revealed(self, event: Recorded, name: str, field: Mapping[str, Any]) -> Any:
        person = field["person"]
        key = self._keys.key_for_reading(person)
        if key is None:
            return FORGOTTEN
        try:
            text = _decrypt(key, field["sealed"], _about(event.id, event.type, name, person))
            return msgspec.json.decode(text)
        except (ValueError, InvalidTag) as error:
            raise CorruptEvent(
                event.position, f"field {name!r} of {event.id!r} cannot be decrypted"
            ) from error


def _is_sealed(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == SEALED
        and all(isinstance(part, str) for part in value.values())
    )


def _about(*parts: str) -> bytes:
    # Authenticated with the field, so that the field is valid only here and for this person.
    return encode_json(parts)


def _encrypt(key: bytes, text: bytes, about: bytes) -> str:
    padded = text.ljust(-(-len(text) // PADDING) * PADDING)  # JSON may end in spaces
    half = KEY_BYTES // 2
    message = len(about).to_bytes(8) + about + padded
    nonce = hmac.digest(key[half:], message, "sha256")[:NONCE_BYTES]
    return b64encode(nonce + AESGCM(key[:half]).encrypt(nonce, padded, about)).decode()


def _decrypt(key: bytes, sealed: str, about: bytes) -> bytes:
    stored = b64decode(sealed, validate=True)
    nonce = stored[:NONCE_BYTES]
    return AESGCM(key[: KEY_BYTES // 2]).decrypt(nonce, stored[NONCE_BYTES:], about)
