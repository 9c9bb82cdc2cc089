from __future__ import annotations

import base64
import html
import json
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batch.protocol.quotations import quotes

ID = "Zoë.O'Brien+x@Example.com"

FORMS = {
    "as it is": ID,
    "lower case": ID.lower(),
    "upper case": ID.upper(),
    "without accents": "Zoe.O'Brien+x@Example.com",
    "HTML": html.escape(ID),
    "HTML by number": ID.encode("ascii", "xmlcharrefreplace").decode(),
    "HTML by hexadecimal number": "".join(f"&#x{ord(character):x};" for character in ID),
    "percent": quote(ID),
    "percent, as a form has it": quote_plus(ID),
    "every byte by percent": "".join(f"%{byte:02x}" for byte in ID.encode()),
    "percent twice": quote(quote(ID)),
    "HTML in percent": quote(html.escape(ID)),
    "percent in HTML": html.escape(quote(ID)),
    "JSON": json.dumps(ID),
    "JSON twice": json.dumps(json.dumps(ID)),
    "every letter escaped": "".join(f"\\u{ord(character):04x}" for character in ID),
    "escapes of Python": ID.encode("unicode_escape").decode(),
    "UTF-8 as Latin-1": ID.encode().decode("latin-1"),
    "Base64": base64.b64encode(ID.encode()).decode(),
    "Base64 for URLs": base64.urlsafe_b64encode(ID.encode()).decode().rstrip("="),
    "Base64 in a path": "/v1/x/" + base64.b64encode(ID.encode()).decode(),
    "Base64 in percent": quote(base64.b64encode(ID.encode()).decode(), safe=""),
    "Base64 of more": base64.b64encode(f'{{"id":"{ID}"}}'.encode()).decode(),
    "hexadecimal": ID.encode().hex(),
    "shortened": ID[:6] + "…",
    "shortened, with dots": ID[:9] + "...",
    "shortened in lower case": ID[:6].lower() + "...",
    "shortened and escaped": html.escape(ID[:8]) + "&hellip;",
    "masked": ID[:6] + "*****",
    "its end": "…" + ID[-6:],
}


@pytest.mark.parametrize("words", ["the id {} is not valid", "{}", "id={}&x=1", "<b>{}</b>", '["{}"]'])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_no_form_of_an_id_is_overlooked(form: str, words: str) -> None:
    assert quotes(words.replace("{}", form), ["other", ID])


def test_a_text_that_ends_in_the_beginning_of_an_id_quotes_it() -> None:
    assert quotes(f"cannot read: '{ID[:10]}'", [ID])
    assert not quotes(f"cannot read: '{ID[:5]}'", [ID])


@pytest.mark.parametrize(
    "text",
    [
        "the element 'brien+x@Exam' is not valid",
        "Zoë.O'Bri is not valid",
        'the domain "example" of this element is blocked',
        "blocked: Example.com, and others",
    ],
)
def test_a_part_of_an_id_quotes_it_in_quotes_or_if_it_is_no_word(text: str) -> None:
    assert quotes(text, [ID])
    assert not quotes("the field 'custom_ids' has an example of an element that is not valid", [ID])


@pytest.mark.parametrize("form", [str.upper, str.lower, str.title])
def test_capitals_of_letters_that_are_no_pairs_are_found(form: Callable[[str], str]) -> None:
    for one in ("kap\u0131-kulu-7", "İzmir-kulu-7", "straße-kulu-7"):  # the first has a dotless i
        assert quotes(f"the id {form(one)} is not valid", [one])


@pytest.mark.parametrize("text", ["unknown doe42b.", "unknown “doe42b!”", "no doe42bc."])
def test_a_word_with_digits_that_is_a_part_of_an_id_quotes_it(text: str) -> None:
    assert quotes(text, ["xx-doe42bc-77"])


def test_an_id_that_is_shortened_at_the_end_of_a_text_is_found_behind_the_same_beginning() -> None:
    assert quotes("no grandmaster grandmaster fl", ["grandmaster flash"])
    assert not quotes("no grandmaster of chess", ["grandmaster flash"])


def test_an_id_that_is_shortened_at_its_beginning_is_found() -> None:
    assert quotes("no ..cdefgh here", ["grandmasterabcdefgh"])
    assert not quotes("no ..defgh here", ["grandmasterabcdefgh"])


def test_a_mark_for_the_rest_alone_quotes_nothing() -> None:
    assert not quotes("Something went wrong...", ["grandmaster flash"])


@pytest.mark.parametrize("short", ["7", "x", "42", "a-b", "NULL", "é"])
@pytest.mark.parametrize("form", [str, str.upper, quote, lambda short: base64.b64encode(short.encode()).decode()])
def test_a_short_id_counts_as_a_word(short: str, form: object) -> None:
    assert callable(form)
    assert quotes(f"the id {form(short)} is not valid", [short])


@pytest.mark.parametrize("short", ["el", "3", "1", "ment", "d", "0-1", "cust"])
def test_a_part_of_a_word_is_no_id(short: str) -> None:
    assert not quotes("element 31 of custom_ids: at most 128 characters", [short])


def test_a_word_that_begins_like_an_id_does_not_quote_it() -> None:
    assert not quotes("customer ids have at most 128 characters", ["customer-1"])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(min_size=1, max_size=12), st.text(max_size=20), st.text(max_size=20))
def test_an_id_between_any_characters_is_found(member: str, before: str, after: str) -> None:
    visible = any(character.isalnum() for character in member)
    assert quotes(f"{before} {member} {after}", [member]) or not visible


@pytest.mark.parametrize(
    "text",
    ["x" * 4000, ("%41&amp;\\u0041 ab " * 300)[:4000], "deadbeef" * 500, "abc... " * 500, "\\" * 4000, "%25" * 1300],
)
@pytest.mark.parametrize("member", ["customer-{:09d}", "{}", "é{}"])
def test_ten_thousand_ids_are_looked_for_in_no_time(text: str, member: str) -> None:
    members = [member.format(number) for number in range(10_000)]
    started = time.process_time()
    quotes(text, members)
    assert time.process_time() - started < 2


def test_a_private_text_that_no_encoding_holds_is_looked_for_too() -> None:
    assert not quotes("nothing of it", ["\ud800"])


def test_half_a_character_in_the_text_hides_nothing() -> None:
    assert quotes(r"\ud800 is wrong with my-secret-id", ["my-secret-id"])


def test_blanks_that_a_form_writes_as_signs_hide_nothing() -> None:
    assert quotes("no my+secret+id here", ["my secret id"])


def test_a_short_text_in_base64_is_found_whatever_its_last_letter() -> None:
    assert quotes("no YWJX here", ["abW"])
    assert not quotes("no YWJ here", ["abW"])
