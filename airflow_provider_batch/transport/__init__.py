"""One effect in, one answer out, with the credentials put on: blocking and asynchronous."""

from __future__ import annotations

from typing import Final

#: The longest answer that is read, in bytes. Batch's are far shorter, and JSON that was cut is refused.
MAX_BODY: Final = 4 * 1024 * 1024

#: How many connections are kept alive, and so the most calls in flight. None is opened before it is needed.
MAX_CONNECTIONS: Final = 64
