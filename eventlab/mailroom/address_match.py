"""Matches addresses against a list, ignoring case; an entry of the list may be a whole domain."""

from __future__ import annotations

from collections.abc import Collection, Iterator


def folded(address: str) -> str:
    """Return an address in the form used for comparison: lowercase, with the domain in ASCII.

    >>> folded("Joe+Tag@BÜCHER.example")
    'joe+tag@xn--bcher-kva.example'
    """
    local, at, domain = address.strip().rpartition("@")
    try:
        plain = domain.encode("idna").decode("ascii")
    except UnicodeError:
        plain = domain
    return f"{local}{at}{plain}".casefold()


def forms(address: str) -> Iterator[str]:
    """Yield every entry that would match an address in a list, most specific first.

    The entries are the address, the address without its plus tag, the domain, and each parent
    domain.

    >>> list(forms("joe+tag@mail.example.com"))[1:]
    ['joe@mail.example.com', '@mail.example.com', '@example.com', '@com']
    """
    whole = folded(address)
    yield whole
    local, _at, domain = whole.rpartition("@")
    name, plus, _tag = local.partition("+")
    if name and plus:
        yield f"{name}@{domain}"
    labels = domain.split(".")
    for start in range(len(labels)):
        yield f"@{'.'.join(labels[start:])}"


def is_in(address: str, listed: Collection[str]) -> bool:
    """Return whether an address matches an entry in a list of folded addresses and domains.

    >>> is_in("Joe+Tag@example.com", {"joe@example.com"})
    True
    """
    return any(form in listed for form in forms(address))
