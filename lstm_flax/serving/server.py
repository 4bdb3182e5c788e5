"""A single-process server: uvicorn with a predictor, warmed up, stopped gracefully."""

import contextlib
import os
import signal
import socket
import sys
from types import FrameType
from typing import Any

import h11
import uvicorn

from lstm_flax.errors import UserError, one_line
from lstm_flax.inference.predictor import Predictor
from lstm_flax.serving.app import make_app
from lstm_flax.serving.requests import Limits

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_INTERRUPTED = 130  # the shell's convention: 128 plus SIGINT's number
_CONNECTIONS = 1_000  # open at once; uvicorn answers further ones with 503


def serve(predictor: Predictor, host: str, port: int, limits: Limits) -> None:
    """Serves until SIGINT or SIGTERM; requests that have arrived are answered before the end.

    Args:
        predictor: answers the texts.
        host: address to listen on. On a loopback address, only requests for a loopback name are
            answered, so no web page can send requests through its own domain name.
        port: 0 for any free port.
        limits: limits of a request.

    Raises:
        UserError: the server cannot listen on the address.
    """
    hosts = (*_LOOPBACK, "[::1]") if host in _LOOPBACK else ("*",)
    warm_up(predictor)
    server = make_server(predictor, hosts, limits)
    listening = _listen(host, port)

    def stop(*_: Any) -> None:
        """Stops a server that has just begun; later, uvicorn's own handler comes first."""
        server.should_exit = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    shown = f"[{host}]" if ":" in host else host
    print(f"serving on http://{shown}:{listening.getsockname()[1]}", flush=True)
    server.run(sockets=[listening])
    print("stopped", file=sys.stderr)


def make_server(predictor: Predictor, hosts: tuple[str, ...], limits: Limits) -> uvicorn.Server:
    """Makes a server that has not begun to listen; the arguments are those of `make_app`."""
    app = make_app(predictor, limits, hosts)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        # uvicorn has answered 400 to a body that breaks HTTP; the application's answer is too late.
        with contextlib.suppress(h11.LocalProtocolError):
            await app(scope, receive, send)

    return _Server(
        uvicorn.Config(
            answer,
            log_level="warning",
            access_log=False,
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=int(limits.seconds) + 5,
            lifespan="on",
            http="h11",
        )
    )


class _Server(uvicorn.Server):
    """Stops at the first signal once all requests are answered, and at once at a second Ctrl-C."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handles a signal while the server runs."""
        if self.should_exit and sig == signal.SIGINT:
            try:
                os.write(2, b"stopped at once, before all requests were answered\n")
            finally:  # even if whoever reads standard error has gone
                os._exit(_INTERRUPTED)
        super().handle_exit(sig, frame)


def warm_up(predictor: Predictor) -> None:
    """Classifies texts of every width, one, a few and many, so no request waits for compilation."""
    data = predictor.trained.metadata.config.data
    longest = min(width for width in data.bucket_widths if width >= data.max_length)
    for width in (width for width in data.bucket_widths if width <= longest):
        text = "the " * min(width, data.max_length)
        for texts in (1, 2, 2 * data.batch_size):
            predictor.predict([text] * texts)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    address: Any = (host, port)
    try:
        listening.bind(address)
        listening.listen(_CONNECTIONS)
    except (OSError, OverflowError) as error:
        listening.close()
        raise UserError(
            f"--host={host} --port={port}: cannot be listened on ({one_line(error)}); choose "
            "another port"
        ) from error
    return listening
