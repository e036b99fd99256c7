"""`transferbook serve` under load on this machine: batches beside one by one, and beside a plain FastAPI.

What each ratio should be follows from a model of the waiting line, whose only input is how long batches of 1
to 16 texts take in a process without a server; it is computed before any server is asked. The plain one
computes in its event loop, one text at a time. A record says how busy the machine was with other work.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import measure

if TYPE_CHECKING:
    from transferbook.program.predictor import Model
    from transferbook.serving.load import Trace

INPUTS = (
    "benchmarks/measure.py", "benchmarks/service.py", "transferbook/serving/*.py",
    "transferbook/program/*.py", "transferbook/evidence/queueing.py", "requirements.txt",
)  # fmt: skip
BATCH = 16
SIZES = (1, 2, 4, 8, 16)
WIDE = ("--rate", 100_000, "--burst", 100_000, "--waiting", 500)
# name -> options of the server; the plain one has none
SERVERS: dict[str, tuple[object, ...] | None] = {
    "plain FastAPI": None,
    "one by one": ("--batch", 1),
    "batches, no window": ("--batch", BATCH, "--window", 0),
    "batches, 20 ms": ("--batch", BATCH, "--window", 20),
}
PLAIN = """
import sys
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transferbook.program import predictor

model = predictor.load(sys.argv[1])
app = FastAPI()


class Asked(BaseModel):
    text: str


@app.get("/health")
def health():
    return {}


@app.post("/predict")
async def predict(asked: Asked):
    said = model.predict([asked.text])
    shares = dict(zip(model.classes, said.probabilities[0].tolist()))
    return {"predictions": [{"label": said.names[0], "probabilities": shares}]}


uvicorn.run(app, port=int(sys.argv[2]), log_level="critical")
"""


@dataclass(frozen=True)
class Settings:
    """How much is asked.

    Attributes:
        clients: of the closed loops.
        loads: of the open loops, in shares of what one text at a time can do.
        requests: of each loop.
        rounds: of all.
        servers: names.
    """

    clients: tuple[int, ...] = (1, 4, 16)
    loads: tuple[float, ...] = (0.5, 0.9, 1.5)
    requests: int = 48
    rounds: int = 3
    servers: tuple[str, ...] = tuple(SERVERS)


def service_times(model: Model, texts: Sequence[str], repetitions: int = 7) -> Callable[[int], float]:
    """Seconds of a batch as a worker computes it, measured in this process and interpolated between sizes.

    They are seconds of the processor: other work would lengthen large batches more often than small ones.
    """
    from transferbook.serving import workers

    medians = []
    for size in SIZES:
        seconds = []
        for row in range(repetitions):
            chosen = [texts[(row * size + number) % len(texts)] for number in range(size)]
            started = time.process_time()
            workers.answer_batch(model, [[text] for text in chosen])
            seconds.append(time.process_time() - started)
        medians.append(float(np.median(seconds)))
    return lambda size: float(np.interp(size, SIZES, medians))


def predicted_closed(service: Callable[[int], float], clients: int, name: str) -> tuple[float, float]:
    """Requests a second, and seconds of each, where so many clients ask again as soon as they are answered.

    All of them come within the window and are computed together; a full batch does not wait for its end.
    Without a window, the first to come is computed alone, and the others, who came meanwhile, after it.
    """
    if SERVERS[name] is None or SERVERS[name][1] == 1:
        return 1 / service(1), clients * service(1)
    window = float(SERVERS[name][3]) / 1_000
    if window == 0:
        cycle = service(1) + (service(clients - 1) if clients > 1 else 0.0)
    else:
        cycle = service(clients) + (window if clients < BATCH else 0.0)
    return clients / cycle, cycle


def predicted_open(service: Callable[[int], float], came: np.ndarray, name: str) -> np.ndarray:
    """Seconds of each request by simulation, where they come at these times."""
    from transferbook.evidence import queueing

    alone = SERVERS[name] is None or SERVERS[name][1] == 1
    more = {} if alone else {"most": BATCH, "window": float(SERVERS[name][3]) / 1_000}
    return queueing.simulate(came, service, **more).seconds


@contextlib.contextmanager
def served(name: str, model: Path) -> Iterator[str]:
    """A server by its name in `SERVERS`; the address that texts are posted to."""
    from transferbook.serving import running
    from transferbook.serving.serve_command import checked_port

    options = SERVERS[name]
    if options is not None:
        with running.served(model, *options, *WIDE) as found:
            yield f"{found.address}/predict"
        return
    port = checked_port(running.HOST, 0)
    command = [sys.executable, "-c", PLAIN, str(model), str(port)]
    process = subprocess.Popen(command, cwd=measure.ROOT, start_new_session=True)  # as ours: an equal share
    try:
        address = f"http://{running.HOST}:{port}"
        while process.poll() is None:
            with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(f"{address}/health"):
                break
            time.sleep(0.1)
        yield f"{address}/predict"
    finally:
        process.terminate()
        process.wait()


def measure_service(settings: Settings, examples: int = 80) -> list[measure.Measurement]:
    """Ask all servers in turns, in closed and in open loops; ratios to the plain one within each round."""
    from transferbook.data import datasets
    from transferbook.evidence import queueing
    from transferbook.program import classify
    from transferbook.serving import load

    busy = round(os.getloadavg()[0], 1)
    splits = datasets.rotten_tomatoes(limit=examples)
    splits = replace(splits, test=splits.test.select(range(settings.requests)))  # those that are asked
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        path = Path(folder) / "reviews.model"
        quick = classify.Settings(seconds=0, max_tokens=64, cache=False, pairs=0)
        model = classify.train(splits, quick, save=path)
        texts = list(splits.test.inputs)
        service = service_times(model, texts)
        payloads = [{"text": texts[row % len(texts)]} for row in range(settings.requests)]
        rate, count = 1 / service(1), settings.requests
        times = {share: queueing.arrivals(share * rate, count, 0) for share in settings.loads}
        with ThreadPoolExecutor() as pool:  # all of them load at the same time
            found = pool.map(lambda name: stack.enter_context(served(name, path)), settings.servers)
            known = dict(zip(settings.servers, found, strict=True))
        wanted = model.predict(texts).names
        runs: dict[str, Callable[[str], Trace]] = {}
        for clients in settings.clients:
            runs[f"{clients} clients"] = lambda name, c=clients: load.closed_loop(known[name], payloads, c)
        for share in settings.loads:
            runs[f"load {share:g}"] = lambda name, s=share: load.open_loop(known[name], payloads, times[s])
        for name in settings.servers:  # warm
            load.closed_loop(known[name], payloads[:8], 4)
        traces: dict[str, dict[str, list[Trace]]] = {kind: {} for kind in runs}
        for number in range(settings.rounds):
            first = number % len(settings.servers)
            for kind, run in runs.items():
                for name in settings.servers[first:] + settings.servers[:first]:
                    trace = run(name)
                    _check(trace, wanted, name)
                    traces[kind].setdefault(name, []).append(trace)
    rows = []
    for kind, by_name in traces.items():
        count = int(kind.split()[0]) if kind.endswith("clients") else None
        came = None if count else times[float(kind.split()[1])]
        guesses = {name: _guess(service, count, came, name) for name in by_name}
        rows += _rows(kind, by_name, guesses, settings)
    seconds = {f"a batch of {size}": round(service(size), 5) for size in SIZES}
    per_text = [service(1) * size / service(size) for size in SIZES]
    told = {"sizes": SIZES, "ratios": [round(ratio, 3) for ratio in per_text], "texts": "Rotten Tomatoes",
            "processes at work before": busy, "cores": os.cpu_count()}  # fmt: skip
    name = "texts a second in a batch of 16 over one by one, without a server"
    rows.append(measure.Measurement(name, round(per_text[-1], 3), "difference", told, seconds=seconds))
    return rows


def _check(trace: Trace, wanted: Sequence[str], name: str) -> None:
    """All were answered, and as the model without a server decides."""
    missed = sorted(set(trace.status[~trace.served].tolist()))
    lost = f"{name} answered {(~trace.served).sum()} requests with {missed} (0: a connection broke)"
    assert not missed, lost
    said = [answer["predictions"][0]["label"] for answer in trace.answers]
    assert said == [wanted[row % len(wanted)] for row in range(len(said))], f"{name} decides otherwise"


def _guess(
    service: Callable[[int], float], clients: int | None, came: np.ndarray | None, name: str
) -> dict[str, float]:
    if clients is not None:
        rate, seconds = predicted_closed(service, clients, name)
        return {"throughput": rate, "p50": seconds, "p90": seconds}
    middle, late = np.quantile(predicted_open(service, came, name), [0.5, 0.9])
    return {"throughput": 1.0, "p50": float(middle), "p90": float(late)}


def _rows(
    kind: str, by_name: Mapping[str, list[Trace]], guesses: Mapping[str, dict[str, float]], settings: Settings
) -> list[measure.Measurement]:
    """Ratios of throughput, median and 90th percentile to those of the first server, round by round."""
    found = []
    base, *others = settings.servers
    numbers = {
        name: {
            "throughput": [trace.throughput for trace in traces],
            "p50": [trace.quantile(0.5) for trace in traces],
            "p90": [trace.quantile(0.9) for trace in traces],
        }
        for name, traces in by_name.items()
    }
    for name in others:
        for what in ("throughput", "p50", "p90"):
            if what == "throughput" and kind.startswith("load"):
                continue  # in an open loop it is given
            guess = guesses[name][what] / guesses[base][what]
            told = {"requests": settings.requests, "predicted": round(guess, 3), "what": what, "server": name,
                    "kind": kind}  # fmt: skip
            row = measure.compare(
                f"{kind}: {what} of {name} over {base}",
                {name: numbers[name][what], base: numbers[base][what]}, name, base, settings=told,
                checked="all decisions",
            )  # fmt: skip
            found.append(row)
    return found


if __name__ == "__main__":
    measure.record("service", INPUTS, measure_service(Settings()))
