"""Batch's audience API without input or output: values in, values out; no clock, no network, no Airflow."""
