"""How it is done: the engine, providers, extraction, admission, and what runs them."""
