"""Usage records in a database: SQLite on a laptop, PostgreSQL in production. Needs the extra `sql`.

schema     tables, and how an older database becomes a newer one
database   connections, and the one transaction that writes
sync       from the stream to the database, exactly once
reader     usage tables from the database
"""
