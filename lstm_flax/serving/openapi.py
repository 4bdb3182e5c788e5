"""The OpenAPI description of a server."""

from typing import Any

from lstm_flax.serving.requests import Limits
from lstm_flax.version import __version__


def describe_interface(label_names: tuple[str, ...], limits: Limits) -> dict[str, Any]:
    """Builds an OpenAPI 3.1 document.

    >>> sorted(describe_interface(("neg", "pos"), Limits())["paths"])
    ['/explain', '/health', '/metrics', '/predict']

    Args:
        label_names: C names.
        limits: limits of a request.
    """
    text = {"type": "string", "minLength": 1, "examples": ["A gentle, funny film."]}

    def asked(most: int) -> dict[str, Any]:
        texts = {"type": "array", "items": text, "minItems": 1, "maxItems": most}
        forms = [
            {"type": "object", "required": [name], "properties": {name: schema}}
            | {"additionalProperties": False}
            for name, schema in (("text", text), ("texts", texts))
        ]
        schema = {"schema": {"oneOf": forms}}
        return {"required": True, "content": {"application/json": schema}}

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
            "truncated": {
                "type": "boolean",
                "description": "The text is longer than the model reads.",
            },
        },
    }
    word = {
        "type": "object",
        "required": ["text", "start", "end", "contribution"],
        "properties": {
            "text": {"type": "string"},
            "start": {"type": "integer", "description": "Character where the word begins."},
            "end": {"type": "integer", "description": "Character after its last."},
            "contribution": {"type": "number", "description": "To the label's log-odds."},
            "from_ngrams": {"type": "number", "description": "Part from n-gram features."},
            "occlusion": {
                "type": ["number", "null"],
                "description": "Fall of the log-odds without the word; only for the strongest.",
            },
        },
    }
    explanation = {
        "type": "object",
        "required": ["text", "label", "probability", "log_odds", "words", "completeness_error"],
        "properties": {
            "text": {"type": "string"},
            "label": {"enum": list(label_names)},
            "probability": number,
            "log_odds": {"type": "number"},
            "empty_log_odds": {"type": "number"},
            "words": {"type": "array", "items": word},
            "completeness_error": {"type": "number", "minimum": 0},
            "ngram_part": number,
            "steps": {"type": "integer"},
            "unknown": number,
            "truncated": {"type": "boolean"},
            "warnings": {"type": "array", "items": {"type": "string"}},
        },
    }
    error = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    refusals = {
        "408": f"The body took more than {limits.seconds:g} seconds.",
        "413": f"The body is larger than {limits.body:,} bytes.",
        "415": "The content type is not application/json.",
        "422": "The body is not JSON of this form, or a text is empty.",
        "503": "Too many texts wait, or the answer took too long; try again later.",
    }

    def operation(summary: str, most: int, name: str, item: str) -> dict[str, Any]:
        items = {"type": "array", "items": {"$ref": f"#/components/schemas/{item}"}}
        answer = {"type": "object", "required": [name], "properties": {name: items}}
        responses = {"200": _json("One per text, in order.", answer)} | {
            status: _json(reason, error) for status, reason in refusals.items()
        }
        return {"summary": summary, "requestBody": asked(most), "responses": responses}

    predict = operation("Classifies one text or many.", limits.texts, "predictions", "prediction")
    explain = operation(
        "Explains what each word contributed to the answer.",
        min(limits.texts, limits.explained),
        "explanations",
        "explanation",
    )
    health = {"type": "object", "properties": {"status": {"const": "ok"}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "lstm_flax text classifier", "version": __version__},
        "components": {"schemas": {"prediction": prediction, "explanation": explanation}},
        "paths": {
            "/predict": {"post": predict},
            "/explain": {"post": explain},
            "/health": {
                "get": {
                    "summary": "Reports that the server is up.",
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
