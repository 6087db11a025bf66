"""The rules that need nothing around them."""

from datetime import UTC, datetime

import pytest

from services.chassis.ids import new_id
from services.chassis.money import Money
from services.notification.domain import EtagStale, Kind, News, Preferences, UpdateMaskInvalid, retry_delay, revised
from services.notification.mail import one_line, sender_of
from services.notification.rendering import EXPONENTS, SUBJECTS, TEMPLATES, Renderer, amount_text

NOW = datetime(2026, 11, 21, tzinfo=UTC)
KNOWN = Preferences(new_id())
TOLD = Preferences(KNOWN.customer_id, mail_enabled=False, muted_kinds=frozenset({Kind.WELCOME}))


@pytest.mark.parametrize(
    ("paths", "mail_enabled", "muted"),
    [
        (["mail_enabled"], False, set()),
        (["muted_kinds"], True, {Kind.WELCOME}),
        (["mail_enabled", "muted_kinds"], False, {Kind.WELCOME}),
    ],
)
def test_only_what_the_mask_names_changes(paths, mail_enabled, muted):
    changed = revised(KNOWN, TOLD, paths, "", NOW)
    assert (changed.mail_enabled, changed.muted_kinds) == (mail_enabled, muted)
    assert (changed.etag, changed.update_time) == ("1", NOW)


@pytest.mark.parametrize("paths", [[], ["version"], ["mail_enabled", "nonsense"]])
def test_a_mask_names_what_can_change(paths):
    with pytest.raises(UpdateMaskInvalid):
        revised(KNOWN, TOLD, paths, "", NOW)


def test_a_lost_update_is_refused():
    changed = revised(KNOWN, TOLD, ["mail_enabled"], KNOWN.etag, NOW)
    with pytest.raises(EtagStale):
        revised(changed, TOLD, ["mail_enabled"], KNOWN.etag, NOW)


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 2), (2, 4), (9, 512), (10, 900), (1000, 900)])
def test_tries_become_rarer(attempt, seconds):
    assert retry_delay(attempt) == seconds


@pytest.mark.parametrize(
    ("currency", "minor_units", "text"),
    [
        ("EUR", 0, "0.00 EUR"),
        ("EUR", 5, "0.05 EUR"),
        ("EUR", 1_234_567_890, "12,345,678.90 EUR"),
        ("JPY", 1500, "1,500 JPY"),
        ("KWD", 1500, "1.500 KWD"),
        ("CLF", 1500, "0.1500 CLF"),
    ],
)
def test_an_amount_has_the_digits_of_its_currency(currency, minor_units, text):
    assert amount_text(Money(currency, minor_units)) == text


def test_currencies_are_codes():
    assert [code for code in EXPONENTS if len(code) != 3 or not code.isupper()] == []


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_has_its_words(kind):
    text = Renderer().render(News(new_id(), kind, new_id(), Money("EUR", 5), "CARD_DECLINED"), "Ann")
    assert text.subject == SUBJECTS[kind]
    assert text.plain.startswith("Hello Ann,\n\n")
    assert "<p>Hello Ann,</p>" in text.html


def test_no_template_is_left_over():
    kinds = {kind.value.lower() for kind in Kind}
    assert {path.stem for path in TEMPLATES.iterdir()} == kinds | {"layout"}
    assert {path.suffix for path in TEMPLATES.iterdir()} == {".txt", ".html"}


@pytest.mark.parametrize(
    ("text", "line"),
    [("Ann", "Ann"), (" Ann \r\n\t Lee ", "Ann Lee"), ("A\u202en\u0000n", "A n n"), ("\u2028", ""), ("Zoë", "Zoë")],
)
def test_one_line_stays_one_line(text, line):
    assert one_line(text) == line


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("meshmart <shop@meshmart.example>", "meshmart", "shop@meshmart.example"),
        ("shop@meshmart.example", "", "shop@meshmart.example"),
        ("<shop@meshmart.example>", "", "shop@meshmart.example"),
    ],
)
def test_a_sender_may_have_a_name(text, name, address):
    sender = sender_of(text)
    assert (sender.display_name, sender.addr_spec) == (name, address)
