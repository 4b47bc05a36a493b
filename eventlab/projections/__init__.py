"""Projections apply events to the documents of a view in MongoDB, each event exactly once."""

from eventlab.projections.joined import JoinedProjector, JoinedView
from eventlab.projections.lag import ViewLag
from eventlab.projections.projector import Projector
from eventlab.projections.view import Changes, View

__all__ = ["Changes", "JoinedProjector", "JoinedView", "Projector", "View", "ViewLag"]
