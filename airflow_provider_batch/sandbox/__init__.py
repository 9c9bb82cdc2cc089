"""A local stand-in for Batch's audience APIs 1.0, 1.1 and 2.x: `python -m airflow_provider_batch.sandbox` or `Sandbox`.

It imports nothing of the provider: it is a second reading of
https://doc.batch.com/developer/api/mep/custom-audience/1.0/update,
https://doc.batch.com/developer/api/cep/audiences/update and the pages beside them, so that a misreading in one of the
two shows up in the other. Importing it needs no extra, starting it needs `airflow-provider-batch[sandbox]`.
"""

from .calls import Call
from .faults import Fault
from .server import Sandbox

__all__ = ["Call", "Fault", "Sandbox"]
