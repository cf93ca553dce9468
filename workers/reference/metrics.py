"""All metrics of ours: `docs/reference/metrics.md`."""

from collections.abc import Sequence

from workers.monitoring.metrics.names import POOL, WORKER, Metric
from workers.reference.markdown import GENERATED, code, table

_HEAD = f"""\
# Metrics

{GENERATED}

What Prometheus finds at Flower and at each worker. [Monitoring](../monitoring.md#metrics) says where they are served,
to whom, and how many series there may be; the [dashboard](../monitoring/grafana-dashboard.json) and the
[alerts](../monitoring/alerts.yml) show what they are good for.

## From Flower

Of the whole pool.

"""
_WORKER = """
## From each worker

Of its own calls. Names with `gen_ai_` are those of OpenTelemetry's semantic conventions for generative AI, as
Prometheus writes them.

"""


def render() -> str:
    """The whole page."""
    return _HEAD + _table(POOL) + _WORKER + _table(WORKER)


def _table(metrics: Sequence[Metric]) -> str:
    rows = ((code(one.name), one.kind.value, ", ".join(map(code, one.labels)), one.says) for one in metrics)
    return table(("metric", "kind", "labels", "what it counts"), rows)
