"""Read metrics with Prometheus' own parser."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

Sample = tuple[str, tuple[str, ...]]


def samples(text: bytes) -> dict[Sample, float]:
    """Return the values of metrics by name and the values of their labels, sorted by label.

    Each family must have a help text.
    """
    found: dict[Sample, float] = {}
    for family in text_string_to_metric_families(text.decode()):
        assert family.documentation.endswith(".")
        for sample in family.samples:
            found[sample.name, tuple(sample.labels.values())] = sample.value
    return found
