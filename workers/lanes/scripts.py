"""Where the functions that several scripts share stand, in the order in which they build on each other."""

#: The meters, as admission keeps them.
BUCKET = ("workers.admission", "bucket")
LANES = ("workers.lanes", "lanes")
SESSIONS = ("workers.lanes", "sessions")
#: Registering what was taken out.
HAND_OUT = ("workers.broker", "hand_out")
#: Jobs that wait for a batch; needs the lanes.
POOL = ("workers.economy", "pool")
