"""What runs in the processes that hold the model: batches within a window, and writing token by token.

LitServe starts these processes, hands requests to them and brings answers back. What it lacks is here: the
window begins with the first request (LitServe's own runs all the time, so that a lone request waits for half
of it, and an idle server polls), and a request that cannot be read fails alone, not its whole batch.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any

from litserve import LitAPI
from litserve.loops.simple_loops import BatchedLoop

from transferbook.serving.limits import Limits

if TYPE_CHECKING:
    from transferbook.models.language_models import LanguageModel
    from transferbook.program.predictor import Model

PATIENCE = 1.0  # seconds of waiting for a first request, again and again
AT_ONCE = 4  # texts of like length: as many are cheap together, and more would need more padding
PLACES = 4_096  # for the numbers of requests that nobody waits for any more


class Window(BatchedLoop):
    """LitServe's loop over batches, with a window that begins when the first request is there."""

    def get_batch_requests(self, lit_api: LitAPI, request_queue: Queue, transport: Any) -> tuple[list, list]:
        """The next batch, and no request that is answered with an error: late ones were given up already."""
        found = collect(request_queue, lit_api.max_batch_size, lit_api.batch_timeout)
        timeout = lit_api.request_timeout
        now = time.monotonic()
        alive = [row for row in found if now - row[2] <= timeout]
        return [(consumer, uid, payload) for consumer, uid, _, payload in alive], []


def collect(queue: Queue, most: int, window: float) -> list[Any]:
    """What comes into a queue: the first one, and those that follow it within the window.

    Args:
        queue: waited for at most a second.
        most: as many are taken at most.
        window: seconds from the first one on.
    """
    try:
        found = [queue.get(timeout=PATIENCE)]
    except Empty:
        return []
    end = time.monotonic() + window
    while len(found) < most:
        left = end - time.monotonic()
        try:
            found.append(queue.get(timeout=left) if left > 0 else queue.get_nowait())
        except Empty:
            break
    return found


class Classifier(LitAPI):
    """A model that `classify train` saved; each request has some texts, or one picture.

    Args:
        path: of the model's file.
        limits: of the server.
    """

    def __init__(self, path: str, limits: Limits) -> None:
        super().__init__(max_batch_size=limits.batch, batch_timeout=limits.window, loop=Window())
        self.path = path

    def setup(self, device: str) -> None:
        """Load the model, once in each process."""
        from transferbook.program import predictor

        settle()
        self.model = predictor.load(self.path)

    def decode_request(self, request: dict[str, Any]) -> Any:
        """What the model reads, or the answer to what it cannot read."""
        if "texts" in request:
            return request["texts"]
        return _pixels(request["picture"], self.model.reader.limit)

    def batch(self, inputs: list[Any]) -> list[Any]:
        """As they are: requests of several texts are joined in `predict`."""
        return inputs

    def predict(self, x: list[Any]) -> list[dict[str, Any]]:
        """An answer for each request, all computed together."""
        return answer_batch(self.model, x)

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """As they are: one answer for each request."""
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """As it is."""
        return output


def answer_batch(model: Model, requests: Sequence[Any]) -> list[dict[str, Any]]:
    """An answer for each request of a batch: taken together from the queue, and told together.

    Args:
        model: classifies pictures all at once, and texts a few of like length at a time; if that fails, each
            request alone, so that one cannot spoil the others.
        requests: lists of texts, pictures as uint8 tensors (3, H, W), or answers, which come back.
    """
    import torch

    good = [row for row, request in enumerate(requests) if not isinstance(request, dict)]
    found = {row: request for row, request in enumerate(requests) if isinstance(request, dict)}
    counts = [len(requests[row]) if isinstance(requests[row], list) else 1 for row in good]
    try:
        if good and isinstance(requests[good[0]], list):
            said = _texts(model, [text for row in good for text in requests[row]])
        elif good:
            said = _rows(model, torch.stack([requests[row] for row in good]))
    except Exception as error:
        failed = {"status": 500, "error": "The model failed on this.", "kind": type(error).__name__}
        alone = len(good) == 1
        found |= {row: failed if alone else answer_batch(model, [requests[row]])[0] for row in good}
        return [found[row] for row in range(len(requests))]
    start = 0
    for row, count in zip(good, counts, strict=True):
        found[row] = {"status": 200, "predictions": said[start : start + count], "batch": len(good)}
        start += count
    return [found[row] for row in range(len(requests))]


def _texts(model: Model, texts: Sequence[str]) -> list[dict[str, Any]]:
    """What the model says of each text; those of like length are computed together, a few at a time."""
    found: list[dict[str, Any]] = [{}] * len(texts)
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    for at in range(0, len(order), AT_ONCE):
        part = order[at : at + AT_ONCE]
        for row, said in zip(part, _rows(model, [texts[row] for row in part]), strict=True):
            found[row] = said
    return found


def _rows(model: Model, inputs: Any) -> list[dict[str, Any]]:
    """What the model says of each input, all computed at once."""
    said = model.predict(inputs)
    shares = [dict(zip(model.classes, row, strict=True)) for row in said.probabilities.tolist()]
    return [
        {"label": name or None, "confidence": sure, "probabilities": row}
        for name, sure, row in zip(said.names, said.confidence.tolist(), shares, strict=True)
    ]


def _pixels(content: bytes, size: int) -> Any:
    """A picture as `classify predict` reads it from a file, or the answer that it cannot be read."""
    import warnings

    import torch

    from transferbook.data.datasets import read_image

    try:
        with tempfile.NamedTemporaryFile() as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file.write(content)
            file.flush()
            return torch.from_numpy(read_image(file.name, size))
    except ValueError:
        return {"status": 422, "error": "The picture is damaged or was cut short; send it again."}


class LanguageWriter(LitAPI):
    """The book's language model; pieces of text are sent as they are written, one request at a time."""

    def __init__(self) -> None:
        super().__init__(stream=True, api_path="/generate")
        # Shared with the process that answers: at place n % PLACES the request n that was given up.
        self.given_up = multiprocessing.get_context("spawn").Array("q", PLACES, lock=False)

    def setup(self, device: str) -> None:
        """Load the model, once in each process."""
        from transferbook.models import language_models

        settle()
        self.model = language_models.smollm2()

    def decode_request(self, request: dict[str, Any]) -> dict[str, Any]:
        """As it is."""
        return request

    def predict(self, x: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Pieces of text, and at the end how many tokens there were and why it ended."""
        number = x["number"]
        for piece in stream_pieces(self.model, x):
            if self.given_up[number % PLACES] == number:
                return
            yield piece

    def encode_response(self, output: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """As they are."""
        yield from output

    def format_encoded_response(self, data: dict[str, Any]) -> dict[str, Any]:
        """As it is: the server makes lines of JSON of it."""
        return data


def stream_pieces(model: LanguageModel, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a model writes, piece by piece; joined, it is what `LanguageModel.write` gives at once.

    Args:
        model: with its tokeniser.
        asked: the fields of a `parsing.Prompt`.

    Yields:
        `{"text": …}` for whole characters, then `{"done": "stop" | "length", "tokens": …}`.
    """
    import torch

    from transferbook.models.decoder import Cache
    from transferbook.models.generation import choose_token

    text = model.chat(asked["prompt"]) if asked["chat"] else asked["prompt"]
    read, mask = model.encode([text])
    cache, written, sent = Cache(), [], ""
    random = torch.Generator().manual_seed(asked["seed"])
    reason = "length"
    while len(written) < asked["max_tokens"]:
        with torch.no_grad():
            logits = model.decoder(read, mask, cache, last=True)[:, -1]
        token = choose_token(logits, asked["temperature"], generator=random)
        if int(token) == model.stop:
            reason = "stop"
            break
        written.append(int(token))
        read, mask = token[:, None], torch.ones(1, 1, dtype=torch.bool)
        (whole,) = model.decode(torch.tensor([written]))
        if not whole.endswith("\ufffd") and len(whole) > len(sent):  # a character of several tokens is whole
            yield {"text": whole[len(sent) :]}
            sent = whole
    if written and whole != sent:
        yield {"text": whole[len(sent) :]}
    yield {"done": reason, "tokens": len(written)}


def settle() -> None:
    """Leave an interruption from the keyboard to the server, and end when the server is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def end_with_parent() -> None:
    """End this process within a second after the one that started it, however that ended."""
    started_by = multiprocessing.parent_process()  # which may be gone by now
    parent = started_by.pid if started_by else os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PATIENCE)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
