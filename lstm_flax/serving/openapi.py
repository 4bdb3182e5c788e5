"""The OpenAPI description of a server."""

from typing import Any

from lstm_flax.serving.requests import Limits
from lstm_flax.version import __version__


def describe_interface(label_names: tuple[str, ...], limits: Limits) -> dict[str, Any]:
    """An OpenAPI 3.1 document.

    >>> sorted(describe_interface(("neg", "pos"), Limits())["paths"])
    ['/health', '/metrics', '/predict']

    Args:
        label_names: C names.
        limits: of a request.
    """
    text = {"type": "string", "minLength": 1, "examples": ["A gentle, funny film."]}
    texts = {"type": "array", "items": text, "minItems": 1, "maxItems": limits.texts}
    asked = {
        "oneOf": [
            {"type": "object", "required": [name], "properties": {name: schema}}
            | {"additionalProperties": False}
            for name, schema in (("text", text), ("texts", texts))
        ]
    }
    number = {"type": "number", "minimum": 0, "maximum": 1}
    prediction = {
        "type": "object",
        "required": ["label", "probabilities"],
        "properties": {
            "label": {"enum": list(label_names)},
            "probabilities": {
                "type": "object",
                "required": list(label_names),
                "properties": dict.fromkeys(label_names, number),
            },
            "warning": {"type": "string", "description": "Most of the text is unknown."},
        },
    }
    answer = {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": {"type": "array", "items": prediction}},
    }
    error = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    refusals = {
        "408": f"The body took more than {limits.seconds:g} seconds.",
        "413": f"The body is larger than {limits.body:,} bytes.",
        "415": "The content type is not application/json.",
        "422": "The body is not JSON of this form, or a text is empty.",
        "503": "Too many texts wait, or the answer took too long; try again later.",
    }
    responses = {"200": _json("One prediction a text, in order.", answer)} | {
        status: _json(reason, error) for status, reason in refusals.items()
    }
    predict = {
        "summary": "Classifies one text or many.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
        "responses": responses,
    }
    health = {"type": "object", "properties": {"status": {"const": "ok"}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "lstm_flax text classifier", "version": __version__},
        "paths": {
            "/predict": {"post": predict},
            "/health": {
                "get": {
                    "summary": "Says that the server answers.",
                    "responses": {"200": _json("It does.", health)},
                }
            },
            "/metrics": {
                "get": {
                    "summary": "Counts and times in Prometheus' text format.",
                    "responses": {
                        "200": {"description": "Metrics.", "content": {"text/plain": {}}}
                    },
                }
            },
        },
    }


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
