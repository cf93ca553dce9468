"""Lanes: where jobs wait in Redis until their meter can pay for them, how they share it, and how to control that.

`keys.py` draws the layout. Takes one server: the scripts reach keys that they compose themselves, which a cluster does
not allow.
"""
