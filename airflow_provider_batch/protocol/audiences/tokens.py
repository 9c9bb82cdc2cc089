"""What an XCom gives for indexing tokens -> a list of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol.arguments import list_in_text

#: What a token looks like is on no page (the example has 32 hexadecimal digits); text that a template made of a list
#: or of nothing looks otherwise.
_TOKEN: Final = re.compile(r"""[^\s'"(){}\[\]<>,]+""")

#: In a token's place: the last write, whoever made it. Batch answers for that one if it is asked without a token.
LAST_WRITE: Final = ""


def read_indexing_tokens(value: object) -> list[str]:
    """
    Return the tokens in *value*, each once: one token, a list of them, or the lists of mapped tasks.

    :raises InvalidArgumentError: for what is no token, a missing XCom (None) above all: it must not pass for «done».
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = list_in_text(value, "indexing_tokens")
    return list(dict.fromkeys(_tokens(value)))


def named(indexing_tokens: Sequence[str]) -> str:
    """Say how many tokens there are, and the first of them by name."""
    if list(indexing_tokens) == [LAST_WRITE]:
        return "the last write"
    shown = ", ".join(indexing_tokens[:5]) + (", …" if len(indexing_tokens) > 5 else "")
    return f"{len(indexing_tokens)} indexing token{'s' if len(indexing_tokens) > 1 else ''} ({shown})"


def _tokens(value: object) -> Iterator[str]:
    if isinstance(value, str) and _TOKEN.fullmatch(value) and value != "None":
        yield value
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        has_items = False
        for item in value:
            has_items = True
            yield from _tokens(item)
        # Airflow's own sequence has an item for each mapped task that has returned something, if only an empty list.
        if not has_items and isinstance(value, Sequence) and not isinstance(value, list | tuple):
            raise _refused("a missing XCom")
    elif value is None or (isinstance(value, str) and value.strip() in ("", "None")):
        raise _refused("a missing XCom")
    else:
        raise _refused("this text" if isinstance(value, str) else f"a value of type {type(value).__name__}")


def _refused(kind: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"indexing_tokens: {kind} is no indexing token; pass the output of the task that pushed the ids"
    )
