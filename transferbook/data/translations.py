"""The same messages in many languages, with a topic for each."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from transferbook.data import assets

TOPICS = ("input", "records", "accounts")
_TOPIC_OF = {"conf": 0, "contrib/postgres": 0, "contrib/admin": 1, "contrib/auth": 2}
_HOLES = re.compile(r"%\(\w+\)[a-z]|%[a-z]|\{\w*\}|<[^>]+>|&\w+;")  # what a program fills in, and mark-up
_FEWEST_WORDS = 3


@dataclass(frozen=True)
class Messages:
    """Messages and their translations.

    Attributes:
        texts: language -> one text for each of the N messages; "" where nobody has translated it. "en" is
            complete.
        topics: number of each message's topic in `TOPICS`, shape (N,).
    """

    texts: dict[str, tuple[str, ...]]
    topics: np.ndarray

    def share(self, language: str) -> float:
        """The share of the messages that are there in a language."""
        return float(np.mean([bool(text) for text in self.texts[language]]))


def messages() -> Messages:
    """What Django says to users of a web site, in 98 languages and variants, in order of the English text.

    The topic of a message is the part of Django that it belongs to: what is wrong with an `input` (its core
    and its data types), keeping `records` (the administration), `accounts` and passwords. Kept are messages
    of at least three English words that most languages have. What a program fills in
    (`%(name)s`), and mark-up, are taken out.

    Raises:
        AssetError: if the wheel that holds them cannot be had.

    Source: Django's catalogues of messages.
    """
    from babel.messages.mofile import read_mo

    said: dict[str, dict[str, str]] = defaultdict(dict)  # language -> English -> text
    topics: dict[str, int] = {}
    for member, content in assets.read_members("messages").items():
        part, _, rest = member.partition("/locale/")
        language = rest.partition("/")[0]
        if part not in _TOPIC_OF:
            continue
        for message in read_mo(io.BytesIO(content)):
            english, text = (
                each if isinstance(each, str) else each[0]  # the singular
                for each in (message.id, message.string)
            )
            topics[english] = _TOPIC_OF[part]
            said[language].setdefault(english, _plain(text))
    counts = {english: sum(english in texts for texts in said.values()) for english in topics}
    first = {_plain(english): english for english in sorted(topics, reverse=True)}  # of like texts
    kept = [
        english
        for english in sorted(first.values())
        if len(_plain(english).split()) >= _FEWEST_WORDS and counts[english] > len(said) / 2
    ]
    texts = {language: tuple(known.get(english, "") for english in kept) for language, known in said.items()}
    texts["en"] = tuple(map(_plain, kept))
    return Messages(dict(sorted(texts.items())), np.array([topics[english] for english in kept]))


def _plain(text: str) -> str:
    return " ".join(_HOLES.sub(" ", text).split()).strip(" .:…“”\"'")
