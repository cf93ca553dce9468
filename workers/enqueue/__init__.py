"""How jobs get in: who may enqueue what, how it is published, and what a full backlog answers."""
