"""Test aggregates and views without a server, and test an event store against its contract.

Given events, when a decision is made, then events are recorded:

>>> from eventlab import Event
>>> from eventlab.accounts.account import Account
>>> from eventlab.testing import given
>>> test = given(Account, Event("create"), Event("deposit", {"amount": 100}))
>>> test.when(Account.withdraw, 30).then(Event("withdraw", {"amount": 30})).shows(funds=70)
Decided(events=[Event(type='withdraw', data={'amount': 30})])
"""

from eventlab.testing.checked_store import CheckedStore, repeated
from eventlab.testing.contract import StoreContract
from eventlab.testing.full_contract import FullStoreContract
from eventlab.testing.promises import Promise, Promises, check
from eventlab.testing.scenario import Decided, Given, given
from eventlab.testing.store import Store
from eventlab.testing.views import ViewScenario, view

__all__ = [
    "CheckedStore",
    "Decided",
    "FullStoreContract",
    "Given",
    "Promise",
    "Promises",
    "Store",
    "StoreContract",
    "ViewScenario",
    "check",
    "given",
    "repeated",
    "view",
]
