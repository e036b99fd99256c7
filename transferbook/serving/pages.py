"""The pages of a server: one to try the model, one that explains the addresses, and OpenAPI for programs.

Everything comes from the server itself; no page loads a script, a font or a style from elsewhere.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transferbook.serving.limits import Limits

FILES = Path(__file__).with_name("page")
ERRORS = {
    408: "the request did not come in time", 413: "too large", 415: "another type than is read",
    422: "not what is read", 429: "too many requests; Retry-After says when to come again",
    500: "the fault is the server's", 504: "no answer in time",
}  # fmt: skip
EXAMPLES = {
    "texts": {"texts": ["a warm and funny film", "dull and far too long"]},
    "language": {"prompt": "Name three fruits.", "max_tokens": 32, "temperature": 0, "stream": True},
}


def fixed_pages(about: Mapping[str, Any], limits: Limits) -> dict[str, tuple[str, bytes]]:
    """Address -> content type and content, of all that never changes while the server runs.

    Args:
        about: what is known of the model.
        limits: of the server.
    """
    described = openapi(about, limits)
    utf8 = "; charset=utf-8"
    return {
        "/": ("text/html" + utf8, try_page(about, limits).encode()),
        "/docs": ("text/html" + utf8, docs_page(described).encode()),
        "/openapi.json": ("application/json", json.dumps(described, indent=1).encode()),
        "/model": ("application/json", json.dumps(dict(about), indent=1, ensure_ascii=False).encode()),
        "/try.css": ("text/css" + utf8, (FILES / "try.css").read_bytes()),
        "/try.js": ("text/javascript" + utf8, (FILES / "try.js").read_bytes()),
    }


def try_page(about: Mapping[str, Any], limits: Limits) -> str:
    """The page at `/`: a form for the kind of input that the model reads."""
    fields = {
        "texts": _text_field("A text", "text", limits.characters),
        "language": _text_field("A question", "prompt", limits.prompt_characters),
        "pictures": (
            '<div id="drop"><label for="picture">A picture: choose a file, take one with the camera, or drop '
            'it here</label>\n<input type="file" id="picture" accept="image/*" '
            'required>\n<img id="shown" alt="The picture that you chose" hidden></div>'
        ),
    }
    action = {"texts": "Classify", "pictures": "Classify", "language": "Write"}[about["kind"]]
    page = (FILES / "try.html").read_text(encoding="utf-8")
    classes = about.get("classes")
    said = f"It knows {len(classes)} classes: {', '.join(classes)}." if classes else "It writes in English."
    filled = {
        "KIND": about["kind"], "NAME": html.escape(about["name"]), "SAID": html.escape(said),
        "FIELD": fields[about["kind"]], "ACTION": action, "HASH": about["sha256"][:12],
    }  # fmt: skip
    for mark, content in filled.items():
        page = page.replace(f"[[{mark}]]", content)
    return page


def _text_field(label: str, name: str, most: int) -> str:
    return (
        f'<label for="{name}">{label}</label>\n'
        f'<textarea id="{name}" rows="5" maxlength="{most}" required></textarea>'
    )


def openapi(about: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """What the server takes and gives, in the form of OpenAPI 3.1."""
    kind = about["kind"]
    body: dict[str, Any]
    if kind == "pictures":
        bytes_ = {"schema": {"type": "string", "format": "binary", "maxLength": limits.body_bytes}}
        body = dict.fromkeys(("image/png", "image/jpeg", "image/webp"), bytes_)
    else:
        schema = _prompt_schema(limits) if kind == "language" else _texts_schema(limits)
        body = {"application/json": {"schema": schema, "example": EXAMPLES[kind]}}
    answer = {"description": "the answer", "content": {"application/json": {"schema": _answer_schema(about)}}}
    if kind == "language":
        answer["content"]["application/x-ndjson"] = {"schema": {"type": "object"}}
    error = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
    wrong = {"application/json": {"schema": error}}
    refusals = {str(code): {"description": said, "content": wrong} for code, said in ERRORS.items()}
    post = {
        "summary": {
            "texts": "Classify texts.", "pictures": "Classify a picture.", "language": "Let the model write.",
        }[kind],
        "requestBody": {"required": True, "content": body},
        "responses": {"200": answer, **refusals},
    }  # fmt: skip
    reads = {
        "/health": "Whether the model is loaded: 200, or 503.",
        "/metrics": "Counts and times, for Prometheus.",
        "/model": "What is known of the model: its card and the hash of its file.",
        "/openapi.json": "This description, for programs.",
    }
    paths: dict[str, Any] = {"/generate" if kind == "language" else "/predict": {"post": post}}
    paths |= {
        path: {"get": {"summary": said, "responses": {"200": {"description": "as it says"}}}}
        for path, said in reads.items()
    }
    info = {"title": about["name"], "version": about["sha256"][:12]}
    return {"openapi": "3.1.0", "info": info, "paths": paths}


def _texts_schema(limits: Limits) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": limits.characters}
    many = {"type": "array", "items": text, "minItems": 1, "maxItems": limits.texts}
    return {
        "oneOf": [
            {"type": "object", "properties": {name: one}, "required": [name], "additionalProperties": False}
            for name, one in (("text", text), ("texts", many))
        ]
    }


def _prompt_schema(limits: Limits) -> dict[str, Any]:
    known = {
        "prompt": {"type": "string", "minLength": 1, "maxLength": limits.prompt_characters},
        "chat": {"type": "boolean", "default": True},
        "max_tokens": {"type": "integer", "minimum": 1, "maximum": limits.tokens, "default": 64},
        "temperature": {"type": "number", "minimum": 0, "maximum": 5, "default": 0},
        "seed": {"type": "integer", "minimum": 0, "default": 0},
        "stream": {"type": "boolean", "default": True},
    }
    return {"type": "object", "properties": known, "required": ["prompt"], "additionalProperties": False}


def _answer_schema(about: Mapping[str, Any]) -> dict[str, Any]:
    if about["kind"] == "language":
        known = {"text": {"type": "string"}, "done": {"enum": ["stop", "length"]}}
        return {"type": "object", "properties": known | {"tokens": {"type": "integer"}}}
    share = {"type": "number", "minimum": 0, "maximum": 1}
    one = {
        "label": {"type": ["string", "null"], "description": "null where the model abstains"},
        "confidence": share,
        "probabilities": {"type": "object", "additionalProperties": share},
    }
    rows = {"type": "array", "items": {"type": "object", "properties": one}}
    return {"type": "object", "properties": {"predictions": rows, "model": {"type": "string"}}}


def docs_page(described: Mapping[str, Any]) -> str:
    """The page at `/docs`: the same description, for people."""
    parts = []
    for path, methods in described["paths"].items():
        for method, about in methods.items():
            summary = html.escape(about["summary"])
            parts.append(f"<h2><code>{method.upper()} {path}</code></h2><p>{summary}</p>")
            body = about.get("requestBody", {}).get("content", {})
            for kind, content in body.items():
                shown = html.escape(json.dumps(content.get("example", content["schema"]), indent=1))
                parts.append(f"<p>It reads <code>{kind}</code>:</p><pre>{shown}</pre>")
            if body:
                rows = "".join(
                    f'<tr><th scope="row">{code}</th><td>{html.escape(answer["description"])}</td></tr>'
                    for code, answer in about["responses"].items()
                )
                parts.append(f"<table><caption>Answers</caption>{rows}</table>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Addresses of this server</title>'
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/try.css"></head>'
        f"<body><main><h1>{html.escape(described['info']['title'])}: what it takes and gives</h1>"
        f'{"".join(parts)}<p><a href="/">Try it</a></p></main></body></html>\n'
    )
