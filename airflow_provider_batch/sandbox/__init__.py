"""
A local sandbox of Batch's audience APIs 1.0, 1.1 and 2.x, and of its profiles.

Start it with ``python -m airflow_provider_batch.sandbox``, or as a `Sandbox`.

The sandbox imports nothing else of the provider. It is a second reading of the pages beside
https://doc.batch.com/developer/api/mep/custom-audience/1.0/update and
https://doc.batch.com/developer/api/cep/audiences/update, so that a test of one reading against the other finds
mistakes in either. A comment with "Undocumented" names what Batch does not document, and what the sandbox does.
Importing the sandbox needs no extra; starting it needs ``airflow-provider-batch[sandbox]``.
"""

from airflow_provider_batch.sandbox.calls import Call
from airflow_provider_batch.sandbox.faults import Fault
from airflow_provider_batch.sandbox.server import Sandbox

__all__ = ["Call", "Fault", "Sandbox"]
