"""Tests of aggregates and views without a server: given events, when a decision, then events.

>>> from eventlab import Event
>>> from eventlab.accounts.account import Account
>>> from eventlab.testing import given
>>> test = given(Account, Event("create"), Event("deposit", {"amount": 100}))
>>> test.when(Account.withdraw, 30).then(Event("withdraw", {"amount": 30})).shows(funds=70)
Decided(events=[Event(type='withdraw', data={'amount': 30})])
"""

from eventlab.testing.scenario import Decided, Given, given
from eventlab.testing.views import ViewScenario, view

__all__ = ["Decided", "Given", "ViewScenario", "given", "view"]
