"""The sandbox's page, while it is written to."""

from __future__ import annotations

import pytest
from airflow_pages import Elsewhere, text_of
from playwright.sync_api import BrowserContext, Page, expect

from airflow_provider_batch.hooks.batch import BatchHook
from airflow_provider_batch.sandbox import Sandbox

pytestmark = pytest.mark.browser

APP, PROJECT, REST = "sandbox-app-key", "project_sandbox", "sandbox-rest-key"


def test_audiences_and_calls_are_shown_live_without_ids_and_keys(
    page: Page, browser: tuple[BrowserContext, Elsewhere], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser[1].clear()
    with Sandbox(("vip", "newsletter"), indexing_delay=3.0) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_DEFAULT", sandbox.connection_json())
        page.goto(sandbox.url)
        audiences, calls = page.locator("#audiences tr"), page.locator("#calls tr")
        expect(page.locator("#link")).to_have_text("live")
        expect(audiences).to_have_count(1 + 2 * 2)  # a head; an app and a project have both
        expect(calls.last).to_have_text("No calls yet.")
        vip = audiences.filter(has_text="sand…ey").filter(has_text="vip")
        expect(vip).to_contain_text("MEP 1.0")
        expect(vip.locator("td.number")).to_have_text("0")
        expect(vip).to_contain_text("APPLIED")
        page.evaluate("window.still = true")

        BatchHook().update_custom_audience("vip", add_ids=[f"jane-{number}@example.com" for number in range(1_234)])
        expect(vip).to_contain_text("IN_PROGRESS")
        expect(calls.nth(1)).to_contain_text("PATCH")
        expect(calls.nth(1)).to_contain_text("201")
        expect(calls.nth(1)).to_contain_text("1,234")
        expect(vip.locator("td.number")).to_have_text("1,234")
        expect(vip).to_contain_text("APPLIED")
        assert page.evaluate("window.still")  # nobody has loaded the page again

        told = text_of(page) + page.content()
        assert not [private for private in ("jane-", "example.com", APP, PROJECT, REST) if private in told]
    expect(page.locator("#link")).to_have_text("not running")
    assert browser[1] == []
