"""Answers over HTTP: a classifier behind starlette and uvicorn (the extra `serve`).

request_batching   texts of requests in flight, answered together
requests           a request's body, read and checked within limits
metrics            counts and times in Prometheus' text format
openapi            the description of the interface
app                the routes
server             uvicorn, with a graceful stop
"""
