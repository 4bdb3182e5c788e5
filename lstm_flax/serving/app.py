"""The routes of a server, as an ASGI application."""

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from lstm_flax.inference.predictor import Predictor
from lstm_flax.serving.metrics import Metrics
from lstm_flax.serving.openapi import describe_interface
from lstm_flax.serving.request_batching import BusyError, RequestBatcher
from lstm_flax.serving.requests import Limits, RefusedError, read_texts

_logger = logging.getLogger(__name__)
_PAGE = Path(__file__).with_name("page.html")
_CLIENT_GONE = 499  # no one reads the response, but it is counted
# The page's own style and script, and nothing from elsewhere.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
_POLICY += "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
Endpoint = Callable[[Request], Awaitable[Response]]


class _Server:
    """The endpoints and their shared state."""

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.limits = limits
        self.metrics = Metrics()
        self.batcher = RequestBatcher(
            predictor.predict, limits.queue, on_batch=self.metrics.add_batch
        )
        # A hundred times the work: one request after another, and few of them.
        self.explainer = RequestBatcher(predictor.explain, limits.explained, max_batch=1)
        self.description = describe_interface(predictor.label_names, limits)

    async def predict(self, request: Request) -> Response:
        answers = await self._ask(self.batcher, await read_texts(request, self.limits))
        return JSONResponse({"predictions": [answer.to_dict() for answer in answers]})

    async def explain(self, request: Request) -> Response:
        most = min(self.limits.texts, self.limits.explained)
        texts = await read_texts(request, dataclasses.replace(self.limits, texts=most))
        answers = await self._ask(self.explainer, texts)
        return JSONResponse({"explanations": [answer.to_dict() for answer in answers]})

    async def _ask(self, batcher: RequestBatcher, texts: list[str]) -> list[Any]:
        try:
            return await asyncio.wait_for(batcher.ask(texts), self.limits.seconds)
        except BusyError:
            raise RefusedError(503, "too many texts wait to be answered; try again") from None
        except TimeoutError:
            reason = f"no answer within {self.limits.seconds:g} seconds; try again"
            raise RefusedError(503, reason) from None

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def show_metrics(self, request: Request) -> Response:
        text = self.metrics.render(self.batcher.waiting)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(self.description)

    async def page(self, request: Request) -> Response:
        text = _PAGE.read_text(encoding="utf-8")
        return HTMLResponse(text, headers={"Content-Security-Policy": _POLICY})

    def counted(self, path: str, endpoint: Endpoint) -> Endpoint:
        """Wraps an endpoint to count its requests and turn its refusals into answers."""

        async def answer(request: Request) -> Response:
            start, status = time.perf_counter(), _CLIENT_GONE
            try:
                response = await endpoint(request)
                status = response.status_code
            except RefusedError as error:
                status = error.status
                headers = {"Retry-After": "1"} if status == 503 else {}
                if status in (408, 413):  # the rest of the body is not read
                    headers["Connection"] = "close"
                response = JSONResponse({"error": error.reason}, status, headers)
            except ClientDisconnect:
                response = Response(status_code=_CLIENT_GONE)
            except Exception:
                status = 500
                _logger.exception("a request to %s failed", path)
                response = JSONResponse({"error": "the server failed; its log says why"}, 500)
            finally:
                self.metrics.add_request(path, status, time.perf_counter() - start)
            return response

        return answer


def make_app(
    predictor: Predictor, limits: Limits | None = None, hosts: tuple[str, ...] = ("*",)
) -> Starlette:
    """Makes the application of a predictor; it answers once its lifespan has begun.

    Args:
        predictor: answers the texts.
        limits: limits of a request; None for the defaults.
        hosts: host names that requests may use, `*` for any.
    """
    server = _Server(predictor, limits or Limits())

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with server.batcher, server.explainer:
            yield

    routes = [
        Route(path, server.counted(path, endpoint), methods=[method])
        for method, path, endpoint in (
            ("POST", "/predict", server.predict),
            ("POST", "/explain", server.explain),
            ("GET", "/health", server.health),
            ("GET", "/metrics", server.show_metrics),
            ("GET", "/openapi.json", server.openapi),
            ("GET", "/", server.page),
        )
    ]
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
        exception_handlers={HTTPException: _http_error},
    )


async def _http_error(request: Request, error: Exception) -> Response:
    """Of starlette itself: no such path, or another method."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
