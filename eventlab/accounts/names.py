"""The category and the collection that the bank uses unless it is given others."""

from typing import Final

from eventlab import settings

CATEGORY: Final = settings.SERVICE[settings.CATEGORY].default
COLLECTION: Final = settings.SERVICE[settings.COLLECTION].default
