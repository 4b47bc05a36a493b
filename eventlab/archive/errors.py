"""The errors that backups and restores raise."""

from __future__ import annotations

from eventlab.errors import EventLabError


class BackupDamaged(EventLabError):
    """A file of a backup is missing or was changed. Data: ``path``."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        super().__init__(f"{path} {reason}: use another copy of this backup")


class BackupMismatch(EventLabError):
    """A category and a backup do not have the same events. Data: ``category``."""

    def __init__(self, category: str, reason: str) -> None:
        self.category = category
        super().__init__(f"category {category!r} does not match the backup: {reason}")
