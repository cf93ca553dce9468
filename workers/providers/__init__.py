"""Providers: one file per kind of API; each translates a call to the wire and the answer back."""
