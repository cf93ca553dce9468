"""Dead letters: jobs that failed, kept with all that it takes to look into them and to run them again.

`keys.py` draws the layout. Takes one server, as lanes do: the scripts reach keys that they compose themselves.
"""
