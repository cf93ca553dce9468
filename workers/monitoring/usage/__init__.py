"""Spend and tokens for pages and metrics."""
