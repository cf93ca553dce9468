"""What waits, on which limits, and what can be done about it."""
