"""The server's answers, limits, batching, and its end, with a predictor that needs no model."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
httpx = pytest.importorskip("httpx")

from lstm_flax.inference.predictor import Predictor  # noqa: E402
from lstm_flax.serving.request_batching import RequestBatcher  # noqa: E402
from lstm_flax.serving.requests import Limits  # noqa: E402
from tests.serving.answering import (  # noqa: E402
    JSON,
    Lengths,
    with_client,
)


def test_one_text_and_many_are_answered_in_order() -> None:
    async def ask(client: Any, predictor: Lengths) -> None:
        one = await client.post("/predict", json={"text": "four"})
        assert one.status_code == 200
        expected = {"label": "long", "probabilities": {"short": 0.25, "long": 0.75}}
        assert one.json() == {"predictions": [expected]}
        marked = b'\xef\xbb\xbf{"text": "four"}'  # with a byte-order mark
        answer = await client.post("/predict", content=marked, headers=JSON)
        assert answer.json() == {"predictions": [expected]}
        many = await client.post("/predict", json={"texts": ["a" * n for n in range(1, 9)]})
        found = [answer["probabilities"]["short"] for answer in many.json()["predictions"]]
        assert found == [1 / n for n in range(1, 9)]

    with_client(ask)


@pytest.mark.parametrize(
    ("status", "content", "reason"),
    [
        (422, b"{", "not JSON"),
        (422, b"\xff", "not JSON"),
        (422, b"[" * 100_000, "not JSON"),
        (422, b"[]", "send"),
        (422, b"{}", "send"),
        (422, b'{"text": "a", "texts": ["b"]}', "send"),
        (422, b'{"text": 3}', "text: must be a string"),
        (422, b'{"text": "  "}', "text: is empty"),
        (422, b'{"text": "a\\u0000"}', "NUL"),
        (422, b'{"text": "a \\ud800"}', "half a surrogate pair"),
        (422, b'{"text": "a", "text": "b"}', "occurs twice"),
        (422, '{"text": "a"}'.encode("utf-16"), "UTF-8"),
        (422, b'{"texts": "a"}', "list"),
        (422, b'{"texts": []}', "from 1 to 4"),
        (422, b'{"texts": ["a", "b", "c", "d", "e"]}', "5 of them"),
        (422, b'{"texts": ["a", null]}', "texts[1]: must be a string"),
        (413, b'{"text": "' + b"a" * 200_000 + b'"}', "larger than 150,000 bytes"),
    ],
)
def test_a_bad_body_is_refused_with_its_reason(status: int, content: bytes, reason: str) -> None:
    async def ask(client: Any, predictor: Lengths) -> None:
        for body in (content, in_pieces(content)):  # with its length declared, and without
            answer = await client.post("/predict", content=body, headers=JSON)
            assert answer.status_code == status
            assert reason in answer.json()["error"]
        assert predictor.batches == []

    with_client(ask, Limits(texts=4, body=150_000))


async def in_pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 50_000):
        yield content[start : start + 50_000]


def test_other_refusals() -> None:
    async def ask(client: Any, predictor: Lengths) -> None:
        assert (await client.post("/predict", content=b"{}")).status_code == 415
        assert (await client.get("/predict")).status_code == 405
        assert (await client.get("/../etc/passwd")).status_code == 404
        failed = await client.post("/predict", json={"text": "fail"})
        assert failed.status_code == 500
        assert "as asked" not in failed.text
        assert (await client.post("/predict", json={"text": "fine"})).status_code == 200
        stranger = await client.get("/health", headers={"host": "evil.example"})
        assert stranger.status_code == 400

    with_client(ask, hosts=("localhost",))


def test_a_slow_body_is_given_up() -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"text":'
        await asyncio.sleep(2)
        yield b'"a"}'

    async def ask(client: Any, predictor: Lengths) -> None:
        answer = await client.post("/predict", content=slowly(), headers=JSON)
        assert answer.status_code == 408

    with_client(ask, Limits(seconds=0.1))


def test_texts_that_wait_are_answered_together_and_too_many_refused() -> None:
    async def ask(client: Any, predictor: Lengths) -> None:
        predictor.go_on.clear()
        first = asyncio.create_task(client.post("/predict", json={"text": "first"}))
        while not predictor.batches:
            await asyncio.sleep(0.001)
        others = [
            asyncio.create_task(client.post("/predict", json={"text": "a" * n}))
            for n in range(1, 8)
        ]
        while "lstm_flax_waiting_texts 7" not in (await client.get("/metrics")).text:
            await asyncio.sleep(0.001)
        refused = await client.post("/predict", json={"texts": ["b", "c"]})  # room for one
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        predictor.go_on.set()
        assert (await first).status_code == 200
        found = [
            (await other).json()["predictions"][0]["probabilities"]["short"] for other in others
        ]
        assert found == [1 / n for n in range(1, 8)]
        assert predictor.batches == [1, 7]

    with_client(ask, Limits(queue=8))


def test_a_late_answer_is_refused_and_the_next_is_not() -> None:
    async def ask(client: Any, predictor: Lengths) -> None:
        predictor.go_on.clear()
        late = await client.post("/predict", json={"text": "late"})
        assert late.status_code == 503
        assert "within 0.2 seconds" in late.json()["error"]
        predictor.go_on.set()
        assert (await client.post("/predict", json={"text": "fine"})).status_code == 200

    with_client(ask, Limits(seconds=0.2))


def test_texts_are_explained_as_the_predictor_explains_them(ngram_predictor: Predictor) -> None:
    async def ask(client: Any, predictor: Predictor) -> None:
        texts = ["a superb film", "dull <b>and</b> wooden"]
        answer = await client.post("/explain", json={"texts": texts})
        assert answer.status_code == 200
        found, expected = answer.json()["explanations"], predictor.explain(texts)
        assert [one["label"] for one in found] == [one.label for one in expected]
        for one, other in zip(found, expected, strict=True):
            words = [(word["text"], word["contribution"]) for word in one["words"]]
            assert words == [(word.text, word.contribution) for word in other.words]
        many = await client.post("/explain", json={"texts": texts * 2})
        assert many.status_code == 422
        assert "send from 1 to 3" in many.json()["error"]
        document = (await client.get("/openapi.json")).json()
        described = document["components"]["schemas"]["explanation"]["properties"]
        assert described.keys() == found[0].keys()
        assert described["words"]["items"]["properties"].keys() == found[0]["words"][0].keys()

    with_client(ask, Limits(explained=3), ngram_predictor)


def test_batches_hold_whole_requests_up_to_a_limit() -> None:
    async def ask() -> list[int]:
        predictor = Lengths()
        predictor.go_on.clear()
        async with RequestBatcher(predictor.predict, max_queue=1_000) as batcher:
            sizes = (1, 200, 56, 100, 157)
            tasks = []
            for size in sizes:
                tasks.append(asyncio.create_task(batcher.ask(["ab"] * size)))
                await asyncio.sleep(0.01)
            predictor.go_on.set()
            answers = await asyncio.gather(*tasks)
        assert [len(answer) for answer in answers] == list(sizes)
        return predictor.batches

    assert asyncio.run(ask()) == [1, 256, 100, 157]


def test_metrics_description_and_page() -> None:
    async def ask(client: Any, predictor: Lengths) -> None:
        await client.post("/predict", json={"texts": ["one", "two"]})
        await client.post("/predict", json={})
        metrics = (await client.get("/metrics")).text
        for line in (
            'lstm_flax_requests_total{path="/predict",status="200"} 1',
            'lstm_flax_requests_total{path="/predict",status="422"} 1',
            'lstm_flax_predict_seconds_bucket{le="+Inf"} 2',
            "lstm_flax_predict_seconds_count 2",
            "lstm_flax_texts_total 2",
            "lstm_flax_batches_total 1",
        ):
            assert line in metrics.splitlines()
        assert (await client.get("/health")).json() == {"status": "ok"}
        document = (await client.get("/openapi.json")).json()
        assert document["paths"]["/predict"]["post"]["responses"].keys() >= {"200", "413", "503"}
        page = await client.get("/")
        assert "<textarea" in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "http" not in page.text  # nothing is loaded from elsewhere

    with_client(ask)
