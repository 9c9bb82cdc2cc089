"""The sandbox's page, while it is written to."""

from __future__ import annotations

from typing import Literal

import pytest
import requests
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


def test_profiles_are_shown_with_their_attributes_on_a_click(
    page: Page, browser: tuple[BrowserContext, Elsewhere], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser[1].clear()
    with Sandbox() as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_BATCH_CEP", sandbox.connection_json(PROJECT))
        page.goto(sandbox.url)
        expect(page.locator("#link")).to_have_text("live")
        project = page.locator("#all-profiles tr").nth(1)
        expect(project.locator("td.number")).to_have_text("0")
        rows = [{"custom_id": "jane", "plan": "gold", "score": 7}, {"custom_id": "jim", "tags": ["a", "<b>"]}]
        BatchHook("batch_cep").update_profiles(rows)
        expect(project.locator("td.number")).to_have_text("2")
        assert "jane" not in text_of(page)
        assert PROJECT not in text_of(page)

        project.get_by_role("button").click()
        shown = page.locator("#profiles tr")
        expect(shown).to_have_count(1 + 2)
        expect(shown.filter(has_text="jane")).to_contain_text('plan: "gold", score: 7')
        expect(shown.filter(has_text="jim")).to_contain_text('tags: ["a","<b>"]')
        BatchHook("batch_cep").update_profiles([{"custom_id": "jane", "plan": None}], nulls="clear")
        expect(shown.filter(has_text="jane")).not_to_contain_text("plan")
        project.get_by_role("button").click()
        expect(page.locator("#opened-profiles")).to_be_hidden()
    assert browser[1] == []


def push_and_be_rejected(sandbox: Sandbox) -> None:
    """Write one member, then one more that is not valid; both without the client, which would not send it."""
    url = f"{sandbox.url}/1.0/{APP}/custom-audience/vip"
    for id_ in ("jane@example.com", "x" * 129):
        body = {"type": "custom_ids", "ids": [{"action": "add", "id": id_}]}
        requests.patch(url, json=body, headers={"X-Authorization": REST}, timeout=30)


def test_a_call_shows_its_request_and_response_on_a_click(page: Page) -> None:
    with Sandbox() as sandbox:
        push_and_be_rejected(sandbox)
        page.goto(sandbox.url)
        calls = page.locator("#calls tr")
        expect(calls).to_have_count(1 + 2)
        assert "jane" not in page.content()

        calls.nth(1).get_by_role("button").click()
        expect(page.locator("#call-title")).to_contain_text("PATCH /1.0/sand…ey/custom-audience/vip: 400")
        expect(page.locator("#call-reason")).to_have_text("ids[0].id must be a string of 1 to 128 characters")
        expect(page.locator("#answer")).to_contain_text("MALFORMED_PARAMETER")
        calls.nth(2).get_by_role("button").click()
        expect(page.locator("#request")).to_contain_text('"id": "jane@example.com"')
        expect(page.locator("#answer")).to_contain_text("indexing_token")
        calls.nth(2).get_by_role("button").click()
        expect(page.locator("#opened-call")).to_be_hidden()
        assert APP not in page.content()
        assert REST not in page.content()


def test_a_long_request_is_shown_in_part(page: Page) -> None:
    with Sandbox() as sandbox:
        body = {"type": "custom_ids", "ids": [{"action": "add", "id": f"customer-{n}"} for n in range(1_000)]}
        url = f"{sandbox.url}/1.0/{APP}/custom-audience/vip"
        requests.patch(url, json=body, headers={"X-Authorization": REST}, timeout=30)
        page.goto(sandbox.url)
        page.locator("#calls tr").nth(1).get_by_role("button").click()
        expect(page.locator("#request-title")).to_contain_text("the beginning of ")
        expect(page.locator("#request")).to_contain_text("customer-0")
        assert len(page.locator("#request").inner_text()) <= 4_096


def test_filters_find_audiences_and_calls(page: Page) -> None:
    with Sandbox(("vip", "newsletter")) as sandbox:
        push_and_be_rejected(sandbox)
        page.goto(sandbox.url)
        audiences, calls = page.locator("#audiences tr"), page.locator("#calls tr")
        expect(calls).to_have_count(1 + 2)
        page.locator("#outcome").select_option("rejected")
        expect(calls).to_have_count(1 + 1)
        expect(calls.nth(1)).to_contain_text("400")
        page.locator("#filter").fill("newsletter")
        expect(audiences).to_have_count(1 + 2)  # an app's and a project's
        expect(calls.last).to_have_text("No call matches.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_cut(page: Page, width: int, scheme: Literal["light", "dark"]) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    with Sandbox(("vip", "newsletter")) as sandbox:
        push_and_be_rejected(sandbox)
        page.goto(sandbox.url)
        page.locator("#audience-1").click()
        page.locator("#calls tr").nth(1).get_by_role("button").click()
        expect(page.locator("#call-reason")).to_be_visible()
        expect(page.locator("#members")).to_contain_text("jane@example.com")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light")
        cut = "[...document.querySelectorAll('pre')].filter(each => each.scrollWidth > each.clientWidth).length"
        assert page.evaluate(cut) == 0
