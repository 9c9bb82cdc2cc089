"""One effect in, one answer out, with the credentials put on: blocking and asynchronous."""

from __future__ import annotations

from typing import Final

#: The most bytes of an answer that are read. Batch's answers are far shorter, and JSON that was cut is not accepted.
MAX_BODY: Final = 4 * 1024 * 1024

#: The most connections that are kept open, and so the most calls in flight. Each is opened when it is first needed.
MAX_CONNECTIONS: Final = 64
