"""Messages in many languages: which are kept, what is taken out of them, and what is missing."""

from __future__ import annotations

import numpy as np
import pytest

from transferbook.data import translations


@pytest.fixture(scope="module")
def messages():
    return translations.messages()


def test_messages_languages_and_topics(messages):
    assert len(messages.texts) == 99 and {"en", "fi", "sw", "zh_Hans"} <= set(messages.texts)
    assert np.bincount(messages.topics).tolist() == [128, 81, 32]
    assert {len(texts) for texts in messages.texts.values()} == {241}
    assert len(set(messages.texts["en"])) == 241 and list(messages.texts) == sorted(messages.texts)


def test_a_message_has_the_same_place_in_every_language(messages):
    place = messages.texts["en"].index("Your password was changed")
    assert messages.texts["fi"][place] == "Salasanasi on vaihdettu"
    assert messages.texts["de"][place] == "Ihr Passwort wurde geändert"
    assert translations.TOPICS[messages.topics[place]] == "records"  # the administration says so
    place = messages.texts["en"].index("Enter the same password as before, for verification")
    assert translations.TOPICS[messages.topics[place]] == "accounts"


def test_what_a_program_fills_in_is_taken_out(messages):
    for texts in messages.texts.values():
        assert not any("%(" in text or "<a" in text or "  " in text for text in texts)


def test_short_messages_are_left_out(messages):
    assert min(len(text.split()) for text in messages.texts["en"]) == 3
    assert "Finnish" not in messages.texts["en"]


def test_what_is_not_translated_is_empty(messages):
    assert messages.share("en") == 1 and messages.share("de") > 0.98
    assert messages.share("am") == pytest.approx(np.mean([text != "" for text in messages.texts["am"]]))
    assert messages.share("am") < 0.1


def test_plural_messages_stand_in_the_singular(messages):
    place = next(
        i for i, text in enumerate(messages.texts["en"]) if text.startswith("Ensure this value has at least")
    )
    assert "character (it has" in messages.texts["en"][place] and "Zeichen" in messages.texts["de"][place]
