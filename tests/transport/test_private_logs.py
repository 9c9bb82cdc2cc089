from __future__ import annotations

import logging

import pytest

from airflow_provider_batch.transport import private_logs

#: Those that log addresses; whatever stands in the headers of an answer is in others, too.
LOGGERS = ["httpx", "urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry"]


@pytest.fixture(autouse=True)
def installed(caplog: pytest.LogCaptureFixture) -> None:
    for name in LOGGERS:
        caplog.set_level(logging.DEBUG, logger=name)
    private_logs.install()


@pytest.mark.parametrize("name", LOGGERS)
def test_the_key_in_a_path_does_not_reach_the_log(name: str, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger(name).debug(
        '"%s %s HTTP/1.1" %d', "GET", "/1.0/the-key/custom-audience/vip?indexing_token=t", 200
    )
    assert caplog.messages == ['"GET /1.0/***/custom-audience/vip?indexing_token=t HTTP/1.1" 200']


@pytest.mark.parametrize("name", LOGGERS)
def test_every_key_of_a_line_is_taken_out(name: str, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger(name).warning("from https://h/1.0/one/custom-audience to https://h/2.11/two/custom-audience?a=b")
    assert caplog.messages == ["from https://h/1.0/***/custom-audience to https://h/2.11/***/custom-audience?a=b"]


@pytest.mark.parametrize("name", LOGGERS)
def test_other_lines_stay_as_they_are(name: str, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger(name).info("GET %s %d", "/some/other/path", 200)
    assert caplog.records[0].args == ("/some/other/path", 200)
    assert caplog.messages == ["GET /some/other/path 200"]


def test_installing_again_and_again_adds_one_filter() -> None:
    before = [list(logging.getLogger(name).filters) for name in LOGGERS]
    private_logs.install()
    private_logs.install()
    assert [logging.getLogger(name).filters for name in LOGGERS] == before


def test_headers_that_cannot_be_read_are_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("urllib3.connection")
    try:
        raise ValueError("the-key")
    except ValueError:
        log.warning("Failed to parse headers (url=%s): %s", "/the-key", "the-key", exc_info=True)
    (record,) = caplog.records
    assert (record.getMessage(), record.exc_info) == ("Failed to parse the headers of an answer", None)
    assert "the-key" not in caplog.text


def test_headers_of_an_answer_are_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="httpcore.http11")
    logging.getLogger("httpcore.http11").debug("receive_response_headers.complete return_value=%r", ["the-key"])
    assert caplog.messages == ["receive_response_headers.complete"]
