"""Where ids come from, other than lists: rows of a query, files. Nothing here knows Airflow or Batch's API."""
