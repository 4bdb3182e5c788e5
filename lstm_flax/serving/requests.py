"""Reads a request's body and checks it against limits."""

import asyncio
import dataclasses
import json
from typing import Any

from starlette.requests import Request

from lstm_flax.files import is_utf8


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of a request.

    Attributes:
        body: bytes of a request's body.
        texts: number of texts in one request.
        queue: number of texts waiting to be classified.
        explained: number of texts to explain, both in one request and waiting.
        seconds: time to send a body, and to wait for the answer.
    """

    body: int = 1_000_000
    texts: int = 256
    queue: int = 2_048
    explained: int = 8
    seconds: float = 30.0


class RefusedError(Exception):
    """A request that is not answered: its status, and the reason in one line."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


async def read_texts(request: Request, limits: Limits) -> list[str]:
    """Returns the texts of `{"text": ...}` or `{"texts": [...]}`.

    Raises:
        RefusedError: 408, 413, 415 or 422.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        raise RefusedError(415, "send JSON, with the header Content-Type: application/json")
    try:
        body = await asyncio.wait_for(_read_body(request, limits), limits.seconds)
    except TimeoutError:
        raise RefusedError(408, f"the body took more than {limits.seconds:g} seconds") from None
    try:
        values = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError):
        raise RefusedError(422, "the body is not JSON in UTF-8, or a key occurs twice") from None
    return check_texts(values, limits)


async def _read_body(request: Request, limits: Limits) -> bytes:
    too_large = RefusedError(413, f"the body is larger than {limits.body:,} bytes")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limits.body:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limits.body:
            raise too_large
    return bytes(body)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns the object; of equal keys, `json` would silently keep the last."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def check_texts(values: Any, limits: Limits) -> list[str]:
    """Returns the texts of a request's JSON value.

    >>> check_texts({"text": "fine"}, Limits())
    ['fine']

    Raises:
        RefusedError: 422; the message names the first problem.
    """
    if not isinstance(values, dict) or len(values) != 1 or not values.keys() & {"text", "texts"}:
        raise RefusedError(422, 'send {"text": "..."} or {"texts": ["...", ...]}, nothing else')
    texts = [values["text"]] if "text" in values else values["texts"]
    if not isinstance(texts, list):
        raise RefusedError(422, "texts: must be a list of strings")
    if not 1 <= len(texts) <= limits.texts:
        raise RefusedError(422, f"texts: {len(texts):,} of them; send from 1 to {limits.texts:,}")
    for index, text in enumerate(texts):
        where = "text" if "text" in values else f"texts[{index}]"
        if not isinstance(text, str):
            raise RefusedError(422, f"{where}: must be a string")
        if not text.strip():
            raise RefusedError(422, f"{where}: is empty")
        if not is_utf8(text):
            raise RefusedError(422, f"{where}: contains half a surrogate pair")
        if "\0" in text:
            raise RefusedError(422, f"{where}: contains a NUL character")
    return texts
