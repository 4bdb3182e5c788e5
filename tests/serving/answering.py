"""A predictor that needs no model, and a client for its server."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
httpx = pytest.importorskip("httpx")

from lstm_flax.inference.prediction import Prediction  # noqa: E402
from lstm_flax.serving.app import make_app  # noqa: E402
from lstm_flax.serving.requests import Limits  # noqa: E402

REQUESTS = 12
JSON = {"content-type": "application/json"}


class Lengths:
    """Answers with the length of each text; counts, can be held up and can fail."""

    label_names = ("short", "long")

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def explain(self, texts: Sequence[str]) -> list[Any]:
        raise NotImplementedError

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        self.batches.append(len(texts))
        assert self.go_on.wait(10)
        if "fail" in texts:
            raise RuntimeError("as asked")
        return [
            Prediction(text, "long", {"short": 1 / len(text), "long": 1 - 1 / len(text)}, 0.0)
            for text in texts
        ]


def with_client(
    test: Callable[[Any, Any], Any],
    limits: Limits | None = None,
    predictor: Any = None,
    **options: Any,
) -> Any:
    """Runs an asynchronous test against an application whose lifespan has begun."""
    predictor = predictor or Lengths()
    app = make_app(predictor, limits, **options)

    async def run() -> Any:
        transport = httpx.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            return await test(client, predictor)

    return asyncio.run(run())


async def texts_arrived(client: Any) -> int:
    """Texts that the server has, answered or waiting."""
    lines = (await client.get("/metrics")).text.splitlines()
    names = ("lstm_flax_texts_total ", "lstm_flax_waiting_texts ")
    return sum(int(line.split()[1]) for line in lines if line.startswith(names))
