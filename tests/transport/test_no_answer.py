"""The words for a call that had no answer, and whether another attempt may have one."""

from __future__ import annotations

import pytest

from airflow_provider_batch.transport.no_answer import no_answer


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        *((status, False) for status in (400, 401, 403, 407, 424, 426, 428, 430, 499)),
        *((status, True) for status in (399, 408, 425, 429, 500, 502, 503)),
    ],
)
def test_a_refusal_of_the_proxy_may_pass_if_its_status_says_so(status: int, retryable: bool) -> None:
    error = no_answer("GET /vip", OSError(f"Tunnel connection failed: {status} Whatever"))
    assert str(error).startswith(f"GET /vip: no answer: the proxy answered {status}")
    assert error.retryable is retryable


def test_a_status_is_that_of_a_proxy_only_where_the_libraries_say_so() -> None:
    assert str(no_answer("GET /vip", ConnectionResetError("407 is no status here"))) == (
        "GET /vip: no answer: ConnectionResetError"
    )
