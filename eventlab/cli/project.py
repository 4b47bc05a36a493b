"""``eventlab project``: keep the account views up to date, or show, rebuild or repair them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from eventlab.accounts.projectors import VIEWS, checked_view, projectors, run_until
from eventlab.cli import arguments as options
from eventlab.cli.monitoring import monitored
from eventlab.cli.process import UsageError, log_to_stderr, stop_on_signals
from eventlab.cli.text import duration
from eventlab.errors import EventLabError, InvalidName
from eventlab.observe.lag import AnyProjector, ViewState, problems_of, view_states, views_of
from eventlab.projections.joined import JoinedProjector
from eventlab.projections.lag import ViewLag
from eventlab.projections.projector import Projector
from eventlab.servers import Lab, connect

if TYPE_CHECKING:
    from eventlab.cli.arguments import Commands
    from eventlab.observe.metrics import Metrics

COLUMNS = "{:<10} {:<32} {:<22} {:>13} {:>14}"


def add_to(commands: Commands) -> None:
    """Register the ``project`` command."""
    parser = options.add_command(
        commands,
        "project",
        _project,
        "keep the views of the accounts up to date until Ctrl-C or SIGTERM; "
        "you can run several of these processes at once",
    )
    names = ", ".join(VIEWS)
    parser.add_argument(
        "--view",
        action="append",
        type=_view,
        metavar="NAME",
        help=f"work on this view only; may be repeated (default: all views: {names})",
    )
    parser.add_argument(
        "--verbose", action="store_true", help="log each batch (default: log state changes)"
    )
    parser.add_argument("--json", action="store_true", help="with --status: print JSON")
    options.add_metrics(parser, "503 if a view has stopped or exceeds --max-lag")
    options.add_max_lag(parser, "/healthz")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--status",
        action="store_true",
        help=(
            "print the checkpoint and the lag of each view, including the joined views that "
            "follow the category, and exit"
        ),
    )
    instead.add_argument(
        "--rebuild",
        type=_view,
        metavar="NAME",
        help="rebuild this view, which stays readable meanwhile, and exit",
    )
    parser.add_argument(
        "--id",
        metavar="ID",
        help="with --rebuild: rebuild only the documents of this aggregate",
    )
    instead.add_argument(
        "--skip",
        metavar="POSITION",
        help="make a stopped view (--view) skip the event at this position, and exit",
    )
    options.add_category_and_collection(parser)


def _view(name: str) -> str:
    try:
        return checked_view(name)
    except InvalidName as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _project(arguments: argparse.Namespace) -> int:
    named = _named(arguments)
    log_to_stderr(verbose=arguments.verbose)
    with (
        connect() as lab,
        projectors(lab, arguments.category, arguments.collection, named) as running,
    ):
        if arguments.status:
            joined = [] if named else _joined(running, lab)
            rows = status([*running.items(), *joined])
            print(json.dumps(rows, indent=2) if arguments.json else status_text(rows))
            return 1 if any("error" in row for row in rows) else 0
        if arguments.rebuild:
            projector = running[arguments.rebuild]
            one = arguments.id
            count = projector.rebuild() if one is None else projector.rebuild_one(one)
            events = "event" if count == 1 else "events"
            what = "rebuilt" if one is None else f"documents of {one!r} rebuilt"
            print(f"view {arguments.rebuild}: {what} from {count:,} {events}")
        elif arguments.skip is not None:
            [name] = running
            running[name].skip(arguments.skip)
            print(f"view {name}: skipped {arguments.skip}; restart the projector to resume")
        else:
            return 1 if _follow(running, arguments) else 0
    return 0


def _joined(running: Mapping[str, Projector], lab: Lab) -> list[tuple[str, AnyProjector]]:
    """Return the name and the projector of each view that joins this category with others."""
    store = next(iter(running.values())).store
    found = views_of(store, lab.mongo)
    return [(each.name, each) for each in found if isinstance(each, JoinedProjector)]


def _follow(running: Mapping[str, Projector], arguments: argparse.Namespace) -> list[str]:
    """Keep the views up to date until a signal arrives, and serve metrics if requested."""
    failed = list[str]()
    max_lag = options.max_lag(arguments)

    def states() -> list[ViewState]:
        found = view_states(running.values())
        stopped = {running[name].name for name in failed}
        return [
            replace(state, error=state.error or f"view {state.view} has stopped: see the log")
            if state.view in stopped
            else state
            for state in found
        ]

    def metrics() -> Metrics:
        from eventlab.observe.metrics import Metrics, category_metrics, meter, view_metrics

        store = next(iter(running.values())).store
        counting = Metrics(category_metrics(store), view_metrics(states))
        for projector in running.values():
            meter(projector, counting)
        return counting

    with monitored(arguments.metrics, metrics, lambda: problems_of(states(), max_lag)):
        return run_until(stop_on_signals(), running, failed)


def _named(arguments: argparse.Namespace) -> list[str]:
    """Return the names of the views to work on; an empty list means all views.

    Raises UsageError if options contradict each other, before the command does any work.
    """
    named: list[str] = arguments.view or []
    if arguments.json and not arguments.status:
        raise UsageError("--json needs --status")
    if arguments.id is not None and not arguments.rebuild:
        raise UsageError("--id needs --rebuild")
    if arguments.metrics is None and arguments.max_lag is not None:
        raise UsageError("--max-lag needs --metrics")
    if arguments.metrics is not None and (
        arguments.status or arguments.rebuild or arguments.skip is not None
    ):
        raise UsageError(
            "--metrics cannot be combined with --status, --rebuild or --skip: leave out one of them"
        )
    if arguments.rebuild:
        if set(named) - {arguments.rebuild}:
            others = ", ".join(named)
            raise UsageError(
                f"--rebuild {arguments.rebuild} and --view {others} name different views: "
                "leave out --view"
            )
        return [arguments.rebuild]
    if arguments.skip is not None and len(set(named)) != 1:
        raise UsageError("--skip works on one view: add --view NAME")
    return named


def status(projectors: Iterable[tuple[str, AnyProjector]]) -> list[dict[str, Any]]:
    """Return the checkpoint and the lag of each view, as ``--status --json`` prints them.

    A view of several categories has a row for each ``category``. If ``exact`` is false,
    ``events_behind`` is an upper bound. While a newer version of a view is built alongside the live
    version, the numbers describe the newer version, and ``replaces`` is the live version, which
    readers see until the newer version has caught up. A view that cannot follow its category has
    an ``error`` instead.
    """
    rows = list[dict[str, Any]]()
    for name, projector in projectors:
        view = {"view": name, "collection": projector.name}
        try:
            lag = projector.lag()
        except EventLabError as error:
            rows.append(view | {"error": str(error)})
        else:
            if isinstance(lag, ViewLag):
                rows.append(view | _row(lag))
            else:
                rows += [view | {"category": of} | _row(each) for of, each in lag.items()]
    return rows


def _row(lag: ViewLag) -> dict[str, Any]:
    row = {
        "position": lag.position,
        "events_behind": lag.events,
        "exact": lag.exact,
        "seconds_behind": round(lag.seconds, 3),
    }
    return row if lag.replaces is None else row | {"replaces": lag.replaces}


def status_text(rows: list[dict[str, Any]]) -> str:
    """Return the rows of ``status`` as a human-readable table."""
    lines = [COLUMNS.format("view", "collection", "checkpoint", "events behind", "time behind")]
    for row in rows:
        if "error" in row:
            lines.append(f"{row['view']:<10} {row['collection']:<32} {row['error']}")
            continue
        bound = "" if row["exact"] else "up to "
        lines.append(
            COLUMNS.format(
                row["view"],
                f"{row['collection']} ({row['category']})"
                if "category" in row
                else row["collection"],
                row["position"],
                f"{bound}{row['events_behind']:,}",
                duration(row["seconds_behind"]),
            )
        )
        if "replaces" in row:
            lines.append(
                f"{'':<10} a newer version, being built alongside version {row['replaces']}"
            )
    return "\n".join(lines)
