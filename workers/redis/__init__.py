"""How this process speaks with Redis: scripts, commands that go together, patience, and the broker's time."""
