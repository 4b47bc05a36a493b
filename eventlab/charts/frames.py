"""Converts events to DataFrames."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from eventlab.events import Recorded


def frame(events: Iterable[Recorded]) -> pd.DataFrame:
    """Return events as a DataFrame, one row per event, in the order given.

    Columns: ``position`` (str), ``time`` (UTC), ``id`` (str), ``version`` (int), ``type`` (str),
    then one column per payload field. If an event lacks the field, the value is missing.
    """
    rows = [
        {"position": e.position, "time": e.time, "id": e.id, "version": e.version, "type": e.type}
        | e.data
        for e in events
    ]
    columns = ["position", "time", "id", "version", "type"]
    table = pd.DataFrame(rows, columns=None if rows else columns)
    table["time"] = pd.to_datetime(table["time"], utc=True).astype("datetime64[ms, UTC]")
    table["version"] = table["version"].astype("int64")
    whole = [name for name in table.columns[5:] if pd.api.types.is_float_dtype(table[name])]
    for name in whole:
        if (table[name].dropna() % 1 == 0).all():  # missing values turn integers into floats
            table[name] = table[name].astype("Int64")
    return table
