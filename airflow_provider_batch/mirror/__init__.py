"""
An audience becomes exactly a given set of ids: what was sent before is kept, and only the difference is sent.

Knows neither Airflow nor HTTP: folders are passed in as paths, and the calls are made by whoever holds the plan.
"""
