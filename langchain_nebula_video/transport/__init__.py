"""The outside world, blocking and async: sending, sleeping, clocks. The only package that knows httpx.

The lifecycle is `async` code that waits for nothing but a `Runtime`. `BlockingRuntime`'s coroutines never
suspend, so `run_sync` drives them to their end on the spot, inside a running event loop too.

Three facts about httpx shape this package. A POST sent on a kept-alive connection that the server has just
closed fails as if it might have been accepted, so a paid request opens a connection of its own: what fails
before that connection stands is provably not sent. Its pool's cost grows with the square of what queues in
it, so requests are counted before the pool. It drops idle connections after 5 s, less than a poll interval.
"""

from langchain_nebula_video.transport.asynchronous import AsyncRuntime
from langchain_nebula_video.transport.blocking import BlockingRuntime
from langchain_nebula_video.transport.exchange import MAX_SUBMITS
from langchain_nebula_video.transport.runtime import Clock, Endpoint, Runtime, Stream, SystemClock, run_sync

__all__ = [
    "MAX_SUBMITS",
    "AsyncRuntime",
    "BlockingRuntime",
    "Clock",
    "Endpoint",
    "Runtime",
    "Stream",
    "SystemClock",
    "run_sync",
]
