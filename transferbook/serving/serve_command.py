"""The command `python -m transferbook serve MODEL`: a model behind an address of this machine."""

from __future__ import annotations

import argparse
import hashlib
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LANGUAGE = ("smollm2",)
HOSTS = ("127.0.0.1", "0.0.0.0", "::")


def add_to(parser: argparse.ArgumentParser) -> None:
    """Give the parser of `serve` its arguments."""
    parser.add_argument("model", metavar="MODEL", help="a file of `classify train --save`, or smollm2")
    parser.add_argument("--port", type=int, default=8000, help="default 8000; 0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 to be reached from other machines")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes with the model")
    parser.add_argument("--batch", type=int, metavar="N", help="requests at a time (default 16)")
    parser.add_argument("--window", type=float, metavar="MS", help="that the first one waits (default 0)")
    parser.add_argument("--waiting", type=int, metavar="N", help="one more gets 429 (default 64)")
    parser.add_argument("--rate", type=float, metavar="R", help="requests a second of a client (default 50)")
    parser.add_argument("--burst", type=int, metavar="N", help="that it may send at once (default 100)")
    parser.add_argument("--megabytes", type=float, metavar="MB", help="of a request (default 8)")
    parser.add_argument("--seconds", type=float, metavar="S", help="until 504 (default 30)")
    parser.add_argument("--log-texts", action="store_true", help="log what users write; default: never")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal says stop; 1 after one sentence on stderr where that cannot begin."""
    try:
        limits = limits_of(options)
        about = describe(options.model)
        port = checked_port(options.host, options.port)
        if options.workers < 1:
            raise ValueError(f"--workers is {options.workers}; it must be at least 1.")
        _serve(options, about, limits, port)
    except (ValueError, RuntimeError) as error:
        said = "The model could not be loaded; see above." if isinstance(error, RuntimeError) else error
        print(said, file=sys.stderr)
        return 1
    return 0


def _serve(options: argparse.Namespace, about: Mapping[str, Any], limits: Any, port: int) -> None:
    from transferbook.serving import server, workers
    from transferbook.serving.telemetry import Telemetry

    language = about["kind"] == "language"
    model = str(Path(options.model).resolve())
    api = workers.LanguageWriter() if language else workers.Classifier(model, limits)
    telemetry = Telemetry((*server.ROUTES, api.api_path), options.log_texts)
    loopback = options.host == "127.0.0.1"
    service = server.Service(api, about, limits, telemetry, workers=options.workers, loopback=loopback)
    shown = "127.0.0.1" if loopback else socket.gethostname()
    print(f"Loading {about['name']} for http://{shown}:{port} (stop with Ctrl-C)", file=sys.stderr)
    service.serve(options.host, port)


def limits_of(options: argparse.Namespace) -> Any:
    """The limits that were asked for, and the usual ones.

    Raises:
        ValueError: if one makes no sense.
    """
    from transferbook.serving.limits import Limits

    given = {
        "batch": options.batch, "waiting": options.waiting, "rate": options.rate, "burst": options.burst,
        "answer_seconds": options.seconds,
        "window": None if options.window is None else options.window / 1_000,
        "body_bytes": None if options.megabytes is None else int(options.megabytes * 1e6),
    }  # fmt: skip
    return Limits(**{name: value for name, value in given.items() if value is not None})


def describe(model: str) -> dict[str, Any]:
    """What is known of a model: its kind, name, hash, and for a classifier what its card says.

    Raises:
        ValueError: if there is no such model, or its file is damaged.
    """
    if model in LANGUAGE:
        from transferbook.data import assets

        asset = assets.lookup(model)
        assets.fetch([model])
        return {
            "kind": "language", "name": "SmolLM2", "sha256": asset.sha256, "source": asset.source,
            "licence": asset.licence,
        }  # fmt: skip
    from transferbook.program import model_file

    card, _ = model_file.read(model)
    with open(model, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    known = {name: card[name] for name in ("classes", "method", "trained", "test", "versions")}
    known["examples"] = {side: sum(counts) for side, counts in card["data"]["counts"].items()}
    return {"kind": card["kind"], "name": Path(model).stem, "sha256": digest, **known}


def checked_port(host: str, port: int) -> int:
    """The port, or a free one for 0.

    Raises:
        ValueError: if the address is none that can be taken.
    """
    if host not in HOSTS:
        raise ValueError(f"--host is {host!r}; it must be {', '.join(HOSTS)}.")
    if port and not 1024 <= port <= 65535:
        raise ValueError(f"--port is {port}; it must lie between 1024 and 65535, or be 0 for a free one.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((host, port))
        except OSError as error:
            raise ValueError(f"Port {port} cannot be had ({error.strerror}); try another --port.") from error
        return taken.getsockname()[1]
