"""Tests `lstm-flax serve` under load: answers, latency, bad requests, memory, shutdown.

    python benchmarks/serving.py --json serving.json

Server and client share the machine. The reviews are from IMDB's test split.
"""

import argparse
import asyncio
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from http_client import Answer, Connection
from measuring import start_report, write_report

from lstm_flax import Predictor
from lstm_flax.data.loading import load_examples
from lstm_flax.errors import UserError

HOST = "127.0.0.1"
SECONDS = 20  # --max_seconds of the server


class Server:
    """The command in a separate process."""

    def __init__(self, workdir: Path | None) -> None:
        words = [] if workdir is None else [f"--workdir={workdir}"]
        command = [sys.executable, "-m", "lstm_flax", "serve", "--port=0", *words]
        start = time.perf_counter()
        self.process = subprocess.Popen(
            [*command, f"--max_seconds={SECONDS}"], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("the server did not start")
        self.port = int(line.rsplit(":", 1)[1])
        self.start_seconds = time.perf_counter() - start

    def connect(self) -> Connection:
        """Opens a new connection."""
        return Connection(HOST, self.port)

    def megabytes(self) -> float:
        """Returns the resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


async def load(
    server: Server, texts: Sequence[str], connections: int
) -> tuple[list[Answer], list[float], float]:
    """Sends one request per text: returns answers, seconds of each, and total seconds."""
    answers: list[Any] = [None] * len(texts)
    seconds = [0.0] * len(texts)
    pending = iter(range(len(texts)))

    async def work() -> None:
        async with server.connect() as connection:
            for index in pending:
                start = time.perf_counter()
                answers[index] = await connection.post("/predict", {"text": texts[index]})
                seconds[index] = time.perf_counter() - start

    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(connections)))
    return answers, seconds, time.perf_counter() - start


def differences(answers: Sequence[Answer], expected: np.ndarray) -> dict[str, Any]:
    """Returns statuses, and how far the answers are from the predictor's."""
    found = [
        a.json()["predictions"][0]["probabilities"].values() for a in answers if a.status == 200
    ]
    report: dict[str, Any] = {"statuses": dict(Counter(a.status for a in answers))}
    if len(found) == len(expected):
        probabilities = np.array([list(values) for values in found])
        report["largest_difference"] = float(np.abs(probabilities - expected).max())
        changed = probabilities.argmax(axis=1) != expected.argmax(axis=1)
        report["labels_that_differ"] = int(changed.sum())
    return report


def latencies(seconds: Sequence[float], total: float) -> dict[str, float]:
    """Computes requests per second, and p50, p95 and p99 in milliseconds."""
    percentiles = {f"p{p}_ms": 1e3 * float(np.percentile(seconds, p)) for p in (50, 95, 99)}
    return {"requests": len(seconds), "requests_per_second": len(seconds) / total} | percentiles


def hostile_requests() -> dict[str, Callable[[Connection], Awaitable[Answer]]]:
    """Returns requests that must not be answered with a label, by name."""
    head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

    def raw(data: bytes) -> Callable[[Connection], Awaitable[Answer]]:
        async def send(connection: Connection) -> Answer:
            await connection.send(data)
            return await connection.read()

        return send

    def body(content: bytes) -> Callable[[Connection], Awaitable[Answer]]:
        return raw(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)

    async def endless(connection: Connection) -> Answer:
        await connection.send(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        reading = asyncio.create_task(connection.read())
        while not reading.done():
            try:
                await connection.send(b"10000\r\n" + b"a" * 65_536 + b"\r\n")
            except ConnectionError:
                break
            await asyncio.sleep(0)
        return await reading

    return {
        "not JSON": body(b'{"text": '),
        "no texts": body(b'{"texts": []}'),
        "an empty text": body(b'{"text": " "}'),
        "257 texts": body(b'{"texts": ["a"' + b', "a"' * 256 + b"]}"),
        "100,000 brackets": body(b"[" * 100_000),
        "2 MB declared": raw(f"{head}Content-Length: 2000000\r\n\r\n".encode()),
        "an endless body": endless,
        "a form": raw(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\na"),
        "no HTTP": raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n"),
        "a header of 200 kB": raw(b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n"),
        "another host": raw(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
        "a body that never ends": raw(f"{head}Content-Length: 50\r\n\r\n{{".encode()),
    }


async def try_hostile(server: Server) -> dict[str, str]:
    """Returns each request's status or how the connection ended; the server must still answer."""
    found = {}
    for name, send in hostile_requests().items():
        async with server.connect() as connection:
            try:
                answer = await asyncio.wait_for(send(connection), SECONDS + 10)
                reason = answer.body.decode()[:90]
                found[name] = f"{answer.status} {reason}"
            except ConnectionError as error:
                found[name] = f"closed ({error})"
        async with server.connect() as connection:
            assert (await connection.post("/predict", {"text": "fine"})).status == 200
    return found


async def vanish(server: Server, texts: Sequence[str]) -> None:
    """Tests clients that disconnect before they are answered."""
    for text in texts:
        async with server.connect() as connection:
            sending = asyncio.create_task(connection.post("/predict", {"text": text}))
            await asyncio.sleep(0.001)
            sending.cancel()


async def stop_amid(server: Server, texts: Sequence[str], expected: np.ndarray) -> dict[str, Any]:
    """Sends SIGTERM while requests wait: all that were sent must be answered."""
    arrived = asyncio.Event()

    async def ask(text: str) -> Answer:
        async with server.connect() as connection:
            return await connection.post("/predict", {"text": text})

    tasks = [asyncio.create_task(ask(text)) for text in texts]
    async with server.connect() as connection:
        while not arrived.is_set():
            metrics = (await connection.get("/metrics")).body.decode()
            waiting = int(metrics.split("\nlstm_flax_waiting_texts ")[1])
            if waiting > len(texts) // 4 or tasks[-1].done():
                arrived.set()
    server.process.send_signal(signal.SIGTERM)
    answers = await asyncio.gather(*tasks)
    return differences(answers, expected) | {
        "waiting_at_sigterm": waiting,
        "exit_status": server.process.wait(SECONDS + 10),
    }


async def measure(server: Server, arguments: argparse.Namespace, report: dict[str, Any]) -> None:
    """Fills in the report."""
    predictor = Predictor.from_checkpoint(arguments.workdir)
    config = predictor.trained.metadata.config.data
    texts = load_examples(config, "test").texts
    chosen = np.random.default_rng(0).permutation(len(texts))
    texts = [texts[i] for i in chosen]

    def expect(asked: Sequence[str]) -> np.ndarray:
        answers = predictor.predict(asked)
        return np.array([list(answer.probabilities.values()) for answer in answers])

    for name, count, connections in (
        ("one_at_a_time", arguments.requests // 4, 1),
        ("50_connections", arguments.requests, 50),
    ):
        asked = texts[:count]
        answers, seconds, total = await load(server, asked, connections)
        report[name] = latencies(seconds, total) | differences(answers, expect(asked))
        print(name, report[name], flush=True)
    report["hostile"] = await try_hostile(server)
    for name, outcome in report["hostile"].items():
        print(f"  {name:24}{outcome}", flush=True)
    await vanish(server, texts[:50])
    before = server.megabytes()
    report["memory_mb"] = [[0, before]]
    done = 0
    while done < arguments.many:
        part = texts[:2_500]
        answers, _, _ = await load(server, part, 50)
        assert all(answer.status == 200 for answer in answers)
        done += len(part)
        report["memory_mb"].append([done, server.megabytes()])
        print(f"memory after {done:,} requests: {server.megabytes():.0f} MB", flush=True)
    asked = texts[:200]
    report["sigterm"] = await stop_amid(server, asked, expect(asked))
    print("SIGTERM", report["sigterm"])


def main() -> None:
    """Starts the server, measures, prints, writes the JSON file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workdir", type=Path, help="a trained run; default: the packaged model")
    parser.add_argument("--requests", type=int, default=1_000, help="from 50 connections")
    parser.add_argument("--many", type=int, default=20_000, help="requests while memory is read")
    parser.add_argument("--json", type=Path, default=Path("serving.json"))
    arguments = parser.parse_args()
    report = start_report(workdir=str(arguments.workdir))
    try:
        server = Server(arguments.workdir)
        report["start_seconds"] = server.start_seconds
        asyncio.run(measure(server, arguments, report))
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    finally:
        if "server" in locals():
            server.process.kill()
    write_report(arguments.json, report)


if __name__ == "__main__":
    main()
