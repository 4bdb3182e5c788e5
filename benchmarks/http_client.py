"""A small HTTP client over asyncio's streams, light compared to the server that it measures."""

import asyncio
import json
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """A response: its status, its headers by lower-case name, its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Parses the body as JSON."""
        return json.loads(self.body)


class Connection:
    """One connection, kept alive.

    Args:
        host: address of the server.
        port: port of the server.
    """

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port

    async def __aenter__(self) -> "Connection":
        """Connects."""
        self.reader, self.writer = await asyncio.open_connection(*self._address)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes."""
        self.writer.close()

    async def post(self, path: str, values: Any) -> Answer:
        """Sends values as JSON and reads the answer."""
        body = json.dumps(values).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        await self.send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return await self.read()

    async def get(self, path: str) -> Answer:
        """Requests a page."""
        await self.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return await self.read()

    async def send(self, data: bytes) -> None:
        """Sends bytes unchanged."""
        self.writer.write(data)
        await self.writer.drain()

    async def read(self) -> Answer:
        """Reads one response.

        Raises:
            ConnectionError: the server closed the connection without a response.
        """
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines)
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("closed without an answer") from error
        return Answer(int(first.split()[1]), headers, body)
