"""The names that the bank uses unless it is given others."""

from typing import Final

CATEGORY: Final = "accountStream"
COLLECTION: Final = "accountCollection"
