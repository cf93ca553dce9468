"""How the configuration is changed, audited and announced, and how workers read it."""
