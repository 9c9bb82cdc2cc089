"""
A mirror: the audience becomes exactly a given set of ids, and only the difference from the last set is sent.

It depends on neither Airflow nor HTTP: the caller passes a folder as a path, or what opens connections to a database,
and makes the calls.
"""
