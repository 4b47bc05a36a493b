"""Projections: events applied to the documents of a view in MongoDB, each event exactly once."""

from eventlab.projections.projector import Projector, ViewLag
from eventlab.projections.view import Changes, View

__all__ = ["Changes", "Projector", "View", "ViewLag"]
