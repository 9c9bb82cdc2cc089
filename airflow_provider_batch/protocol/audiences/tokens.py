"""The value of an XCom -> a list of indexing tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeGuard

from airflow_provider_batch.exceptions import InvalidArgumentError, counted
from airflow_provider_batch.protocol.arguments import list_in_text

#: Batch documents no form of a token; its example has 32 hexadecimal digits. These characters are excluded because a
#: list that a template turned into text has some of them. A longer token would not fit into the URL of a view.
_TOKEN: Final = re.compile(r"""[^\s'"(){}\[\]<>,]{1,1024}""")

#: In place of a token: the last write, whoever made it. A view without a token has the state of that one.
LAST_WRITE: Final = ""


def is_token(value: object) -> TypeGuard[str]:
    """Whether *value* can be an indexing token. One rule for what Batch returns and for what a wait accepts."""
    return isinstance(value, str) and bool(_TOKEN.fullmatch(value)) and value.isprintable() and value != "None"


def read_indexing_tokens(value: object) -> list[str]:
    """
    Return the tokens in *value*, each once: one token, a list of them, or the lists of mapped tasks.

    :raises InvalidArgumentError: for anything else, above all a missing XCom (None), which must not count as finished.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = list_in_text(value, "indexing_tokens")
    return list(dict.fromkeys(_tokens(value)))


def describe_tokens(indexing_tokens: Sequence[str]) -> str:
    """Return the number of tokens and the first of them, for a message."""
    if list(indexing_tokens) == [LAST_WRITE]:
        return "the last write"
    shown = ", ".join(indexing_tokens[:5]) + (", …" if len(indexing_tokens) > 5 else "")
    return f"{counted(len(indexing_tokens), 'indexing token')} ({shown})"


def _tokens(value: object) -> Iterator[str]:
    if is_token(value):
        yield value
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        has_items = False
        for item in value:
            has_items = True
            yield from _tokens(item)
        # Airflow's own sequence has an item for each mapped task that returned anything, even an empty list.
        if not has_items and isinstance(value, Sequence) and not isinstance(value, list | tuple):
            raise _invalid("a missing XCom")
    elif value is None or (isinstance(value, str) and value.strip() in ("", "None")):
        raise _invalid("a missing XCom")
    else:
        raise _invalid("this text" if isinstance(value, str) else f"a value of type {type(value).__name__}")


def _invalid(kind: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"indexing_tokens: {kind} is not an indexing token. Pass the output of the task that pushed the ids."
    )
