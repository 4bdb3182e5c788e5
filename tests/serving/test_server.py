"""The server as a process: its sockets, its signals, and requests that break HTTP."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
httpx = pytest.importorskip("httpx")

from lstm_flax.cli import main  # noqa: E402
from lstm_flax.errors import UserError  # noqa: E402
from lstm_flax.inference.predictor import Predictor  # noqa: E402
from lstm_flax.serving.requests import Limits  # noqa: E402
from lstm_flax.serving.server import _listen, make_server  # noqa: E402
from tests.conftest import templated_texts  # noqa: E402
from tests.serving.answering import (  # noqa: E402
    REQUESTS,
    Lengths,
    texts_arrived,
    with_client,
)


@pytest.mark.parametrize("path", ["/predict", "/nowhere"])
@pytest.mark.parametrize("host", ["localhost", "elsewhere.example"])
def test_a_body_that_breaks_http_is_answered_without_a_traceback(
    path: str, host: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = make_server(Lengths(), ("localhost",), Limits())
    listening = socket.create_server(("127.0.0.1", 0))
    running = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    running.start()
    logging.getLogger("uvicorn.error").addHandler(caplog.handler)  # uvicorn's do not propagate
    try:
        for body in (b"zz\r\nhello\r\n", b"5\r\nhelloXX\r\n"):
            head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            with socket.create_connection(listening.getsockname(), timeout=10) as client:
                client.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + body)
                assert client.recv(100).startswith(b"HTTP/1.1 400")
    finally:
        server.should_exit = True
        running.join(20)
        logging.getLogger("uvicorn.error").removeHandler(caplog.handler)
    assert not running.is_alive()
    assert caplog.records
    assert not any(record.exc_info for record in caplog.records)


def test_sigterm_drops_no_answer(finished: tuple[Path, dict]) -> None:
    """The command itself: a run served, asked as `Predictor` is, stopped amid requests."""
    words = ["serve", f"--workdir={finished[0]}", "--port=0"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    server = subprocess.Popen(
        [sys.executable, "-m", "lstm_flax", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line, server.stderr.read() if server.stderr else ""
        url = line.split()[-1]
        texts = [record["text"] for record in templated_texts(64, seed=8)]
        expected = Predictor.from_checkpoint(finished[0]).predict(texts)

        async def ask() -> tuple[list[Any], int]:
            limits = httpx.Limits(max_connections=20)
            async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as client:
                requests = [
                    asyncio.create_task(client.post("/predict", json={"texts": texts}))
                    for _ in range(REQUESTS)
                ]
                while await texts_arrived(client) < REQUESTS * len(texts):
                    pass
                pending = sum(not request.done() for request in requests)
                server.send_signal(signal.SIGTERM)
                return await asyncio.gather(*requests), pending

        answers, pending = asyncio.run(ask())
        assert pending > 0
        for answer in answers:
            for found, one in zip(answer.json()["predictions"], expected, strict=True):
                assert found["label"] == one.label
                assert found["probabilities"] == pytest.approx(one.probabilities, abs=1e-6)
        assert server.wait(timeout=30) == 0
    finally:
        server.kill()
        server.communicate()


def test_the_server_listens_once_it_says_so_and_stops_on_an_early_signal(
    finished: tuple[Path, dict],
) -> None:
    words = [sys.executable, "-m", "lstm_flax", "serve", f"--workdir={finished[0]}", "--port=0"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        address = server.stdout.readline().strip().rpartition("/")[2].rpartition(":")
        with socket.create_connection((address[0], int(address[2])), timeout=10):
            server.send_signal(signal.SIGTERM)
        try:
            assert server.wait(timeout=20) == 0
        finally:
            server.kill()


def test_a_second_signal_stops_at_once(finished: tuple[Path, dict]) -> None:
    words = [sys.executable, "-m", "lstm_flax", "serve", f"--workdir={finished[0]}", "--port=0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    with subprocess.Popen(words, env=environment, **pipes) as server:
        assert server.stdout is not None
        address = server.stdout.readline().strip().rpartition("/")[2].rpartition(":")
        with socket.create_connection((address[0], int(address[2])), timeout=10) as client:
            head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            client.sendall(f"{head}Content-Length: 50\r\n\r\n{{".encode())
            for _ in range(2):
                time.sleep(0.5)
                server.send_signal(signal.SIGINT)
            _, err = server.communicate(timeout=30)
    assert server.returncode == 130
    assert err == "stopped at once, before all requests were answered\n"


def test_mistakes_in_the_command_are_one_line(capsys: pytest.CaptureFixture) -> None:
    for flag in ("texts=0", f"body={10**30}", "seconds=inf", "seconds=nan", "seconds=-1.0"):
        assert main(["serve", f"--max_{flag}"]) == 2
        err = capsys.readouterr().err
        assert f"--max_{flag}: must be above 0 and at most" in err
        assert err.count("\n") == 1


def test_a_port_in_use_is_one_line(finished: tuple[Path, dict]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="cannot be listened on"):
            _listen("127.0.0.1", taken.getsockname()[1])


def test_stopping_is_quick_without_requests() -> None:
    start = time.perf_counter()
    with_client(lambda client, predictor: client.get("/health"))
    assert time.perf_counter() - start < 2
