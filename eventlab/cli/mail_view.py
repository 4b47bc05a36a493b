"""The mailroom's metrics, and the mailroom's view, which ``eventlab route`` keeps up to date."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from pymongo.errors import PyMongoError

from eventlab.cli.text import sentence_of
from eventlab.errors import EventLabError
from eventlab.projections.projector import Projector
from eventlab.servers import Lab
from eventlab.store.store import EventStore

if TYPE_CHECKING:
    from eventlab.observe.metrics import Metrics


def mail_metrics_of(lab: Lab, store: EventStore, collection: str) -> Metrics:
    """Return the metrics of the mailroom."""
    from eventlab.mailroom.mail_view import counts_by_state
    from eventlab.observe.metrics import Metrics, category_metrics, mail_metrics

    counts = partial(counts_by_state, lab.mongo[collection])
    return Metrics(category_metrics(store), mail_metrics(counts))


def update_view(lab: Lab, store: EventStore, collection: str) -> None:
    """Bring the mailroom's view up to date.

    A failure is reported but not raised, because the view can be rebuilt at any time.
    """
    from eventlab.mailroom.mail_view import MailView, index_states

    try:
        index_states(lab.mongo[collection])
        with Projector(store, lab.mongo, MailView(collection)) as projector:
            while projector.run_once():
                pass
    except (EventLabError, PyMongoError) as error:
        reason = sentence_of(error)
        print(f"eventlab: the view {collection} was not updated: {reason}", file=sys.stderr)
