"""Arguments that are one of a few words."""

from __future__ import annotations

from collections.abc import Collection

from airflow_provider_batch.exceptions import InvalidArgumentError


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """
    Return if *value* is one of *choices*.

    :raises InvalidArgumentError: if not.
    """
    if value in choices:
        return
    words = [repr(choice) for choice in choices]
    said = f"neither {words[0]} nor {words[1]}" if len(words) == 2 else f"none of {', '.join(choices)}"
    raise InvalidArgumentError(f"{name}: {value!r:.80} is {said}")
