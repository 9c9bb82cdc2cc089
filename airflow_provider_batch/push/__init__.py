"""Many calls in flight: parcels in, receipts out. Nothing here depends on Airflow or on what a parcel holds."""
