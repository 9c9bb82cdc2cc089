"""
A mirror whose snapshot is in tables beside the data: the database compares, and only what changed leaves it.

It depends on the DB-API alone: the caller passes what opens a connection.
"""
