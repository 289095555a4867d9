"""HTTP, clocks and threads behind one `Runtime` protocol, blocking and async: the only room that knows httpx.

Other rooms may import the names below, `backoff`, `is_retryable` and `retry` from `retry`, and all of `pace`.
May import: protocols, media, schema, errors.

The lifecycle is `async` code that awaits only a `Runtime`. The coroutines of `BlockingRuntime` never suspend, so
`run_sync` drives them to their end on the spot, inside a running event loop too.

Requests have three kinds of places: paid requests, small requests to the gateway, and downloads and uploads. None waits
for a place of another kind. The wait of a paid request ends when its line stands still, and that of another one at the
caller's deadline.

Three facts about httpx shape this room:

- A POST on a kept-alive connection that the server has just closed fails as if it might have been accepted. So a paid
  request opens a new connection: what fails before that connection is open is provably not sent.
- A pool checks each idle connection at each request, and its cost grows with the square of what is queued in it. So
  requests are limited before the pool, and each place for a look has a pool of one connection.
- It drops idle connections after 5 s, which is less than a poll interval. So the keep-alive time is set to 60 s.
"""

from langchain_nebula_video.transport.asynchronous import AsyncRuntime
from langchain_nebula_video.transport.blocking import BlockingRuntime
from langchain_nebula_video.transport.body import AnswerTooLargeError
from langchain_nebula_video.transport.exchange import MAX_SUBMITS
from langchain_nebula_video.transport.runtime import (
    FIRST_BYTE_SECONDS,
    WAIT_BEAT,
    Clock,
    Endpoint,
    KeepAlive,
    OnWait,
    Runtime,
    SendWindow,
    Stream,
    SystemClock,
    missed_turn_error,
    run_sync,
)
from langchain_nebula_video.transport.streaming import Emission, iterate, iterate_async

__all__ = [
    "FIRST_BYTE_SECONDS",
    "MAX_SUBMITS",
    "WAIT_BEAT",
    "AnswerTooLargeError",
    "AsyncRuntime",
    "BlockingRuntime",
    "Clock",
    "Emission",
    "Endpoint",
    "KeepAlive",
    "OnWait",
    "Runtime",
    "SendWindow",
    "Stream",
    "SystemClock",
    "iterate",
    "iterate_async",
    "missed_turn_error",
    "run_sync",
]
