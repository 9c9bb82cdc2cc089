"""Many calls in flight: parcels in, receipts out. Nothing here knows Airflow, or what a member of an audience is."""
