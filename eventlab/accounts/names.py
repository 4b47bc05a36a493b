"""The default category and the default collection of the bank."""

from typing import Final

from eventlab import settings

CATEGORY: Final = settings.SERVICE[settings.CATEGORY].default
COLLECTION: Final = settings.SERVICE[settings.COLLECTION].default
