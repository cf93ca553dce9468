"""What operators see: Flower with pages of our own, and metrics.

usage/      spend and tokens: kept hours, tables, charts
pool/       connections with their limits and health, lanes with their controls
pages/      the handlers of the pages, all behind Flower's own login
metrics/    what Prometheus reads, from Flower and from workers
templates/, static/   extend Flower's own; nothing is loaded from elsewhere

Flower is extended in its own process and never forked: `server` adds handlers to its application, `navigation` adds
entries to its navigation bar. docs/monitoring.md tells it to operators.
"""
