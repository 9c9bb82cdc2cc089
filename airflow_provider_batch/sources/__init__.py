"""Sources of ids other than lists: the rows of a query, and files. They import neither Airflow nor Batch's API."""
