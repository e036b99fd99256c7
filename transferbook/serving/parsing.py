"""From the bytes of a request to what a model reads, or one sentence on why not."""

from __future__ import annotations

import asyncio
import io
import json
import warnings
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Any

from transferbook.serving.limits import Limits, Refusal

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
PICTURES = ("image/", "application/octet-stream")
SEED_LIMIT = 2**63


@dataclass(frozen=True)
class Prompt:
    """What a language model is asked.

    Attributes:
        prompt: the question, or the beginning of a text.
        chat: whether it is a question of a conversation; else the model goes on with the text as it is.
        max_tokens: that are written.
        temperature: 0 takes the likeliest token each time; above, tokens are drawn.
        seed: of the draws.
        stream: whether pieces are sent as they are written.
    """

    prompt: str
    chat: bool = True
    max_tokens: int = 64
    temperature: float = 0.0
    seed: int = 0
    stream: bool = True

    def payload(self) -> dict[str, Any]:
        """What goes to the worker."""
        return asdict(self)


async def read_body(chunks: AsyncIterator[bytes], declared: str | None, limits: Limits) -> bytes:
    """All of a body, unless it is too large or too slow.

    Args:
        chunks: of the body, as they come.
        declared: the header `Content-Length`, if there is one.
        limits: of the server.

    Raises:
        Refusal: 413 where more was declared or came than may; 408 where it did not come in time.
    """
    large = Refusal(413, f"The request is too large; at most {limits.body_bytes:,} bytes are read.")
    if declared is not None and declared.isdecimal() and int(declared[:20]) > limits.body_bytes:
        raise large
    found = bytearray()
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for chunk in chunks:
                found += chunk
                if len(found) > limits.body_bytes:
                    raise large
    except TimeoutError as error:
        raise Refusal(408, f"The request did not come within {limits.body_seconds:g} s.") from error
    return bytes(found)


def texts_of(body: bytes, content_type: str, limits: Limits) -> list[str]:
    """The texts of `{"text": "…"}` or `{"texts": ["…", …]}`.

    Raises:
        Refusal: 415 for another type, 413 for too many or too long ones, 422 for anything else.
    """
    asked = _json_object(body, content_type)
    if asked.keys() not in ({"text"}, {"texts"}):
        raise Refusal(422, 'Send {"text": "…"} or {"texts": ["…", "…"]}, and nothing beside it.')
    texts = [asked["text"]] if "text" in asked else asked["texts"]
    if not isinstance(texts, list) or not texts:
        raise Refusal(422, '"texts" must be a list of at least one text.')
    if len(texts) > limits.texts:
        raise Refusal(413, f"There are {len(texts):,} texts; a request may have {limits.texts}.")
    return [_checked_text(text, limits.characters) for text in texts]


def prompt_of(body: bytes, content_type: str, limits: Limits) -> Prompt:
    """The question to a language model.

    Raises:
        Refusal: 415 for another type, 413 for a long prompt, 422 for anything else.
    """
    asked = _json_object(body, content_type)
    if "prompt" not in asked or asked.keys() - Prompt.__dataclass_fields__.keys():
        known = ", ".join(Prompt.__dataclass_fields__)
        raise Refusal(422, f'Send {{"prompt": "…"}}; it may have {known}, and nothing else.')
    found = Prompt(**asked)
    _checked_text(found.prompt, limits.prompt_characters)
    for name in ("chat", "stream"):
        if not isinstance(getattr(found, name), bool):
            raise Refusal(422, f'"{name}" must be true or false.')
    if not _is_whole(found.max_tokens) or not 1 <= found.max_tokens <= limits.tokens:
        raise Refusal(422, f'"max_tokens" must be a whole number from 1 to {limits.tokens}.')
    if not _is_whole(found.seed) or not 0 <= found.seed < SEED_LIMIT:
        raise Refusal(422, '"seed" must be a whole number from 0 to 2^63 - 1.')
    warm = found.temperature
    if isinstance(warm, bool) or not isinstance(warm, int | float) or not 0 <= warm <= 5:
        raise Refusal(422, '"temperature" must be a number from 0 to 5.')
    return found


def picture_of(body: bytes, content_type: str, limits: Limits) -> bytes:
    """The picture, after a look at its head: nothing is unpacked yet.

    Raises:
        Refusal: 415 for another type, 413 for too many pixels, 422 for what is no picture.
    """
    from PIL import Image

    if not content_type.lower().startswith(PICTURES):
        raise Refusal(415, "Send the picture itself as the body, with a Content-Type such as image/png.")
    unreadable = f"This is no picture that can be read; send one as {', '.join(FORMATS)}."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of many pixels, which are counted here
            with Image.open(io.BytesIO(body), formats=FORMATS) as opened:
                width, height = opened.size
    except Image.DecompressionBombError as error:
        raise Refusal(413, f"The picture is too large; at most {limits.pixels:,} pixels are read.") from error
    except Exception as error:  # whatever a decoder makes of hostile bytes
        raise Refusal(422, unreadable) from error
    if width * height > limits.pixels:
        raise Refusal(413, f"The picture has {width * height:,} pixels; at most {limits.pixels:,} are read.")
    return body


def _json_object(body: bytes, content_type: str) -> dict[str, Any]:
    kind, _, rest = content_type.lower().partition(";")
    if kind.strip() != "application/json" or ("charset" in rest and "utf-8" not in rest):
        raise Refusal(415, "Send JSON in UTF-8, with the Content-Type application/json.")
    try:
        found = json.loads(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Refusal(422, "The request is not encoded in UTF-8.") from error
    except RecursionError as error:
        raise Refusal(422, "The JSON is nested too deeply.") from error
    except ValueError as error:
        raise Refusal(422, "The request is no whole JSON.") from error
    if not isinstance(found, dict):
        raise Refusal(422, "The JSON must be an object in braces.")
    return found


def _checked_text(text: Any, most: int) -> str:
    if not isinstance(text, str):
        raise Refusal(422, "Each text must be a string.")
    if len(text) > most:
        raise Refusal(413, f"A text has {len(text):,} characters; at most {most:,} are read.")
    if not text.strip():
        raise Refusal(422, "A text is empty.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Refusal(422, "A text holds half of a surrogate pair, which is no character.") from error
    return text


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
