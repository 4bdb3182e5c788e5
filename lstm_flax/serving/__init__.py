"""Answers over HTTP: a classifier behind starlette and uvicorn (the extra `serve`).

request_batching   answers texts of concurrent requests together
requests           reads a request's body and checks it against limits
metrics            counts and times in Prometheus' text format
openapi            the description of the interface
app                the routes
server             uvicorn, with a graceful stop
"""
