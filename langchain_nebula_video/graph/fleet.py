"""A LangGraph node that hands its work to the fleet, and what resumes its graph once the work is done.

```text
node: requests ─► items of a batch ─► interrupt()          no process waits
fleet's workers: items ─► videos
resume_graphs: batch has ended ─► Command(resume=…) ─► node: results ─► state
```

| what happens                                        | what follows                                                  |
|-----------------------------------------------------|---------------------------------------------------------------|
| the node runs again: a resume, a crash, a retry     | the same items by their keys; nothing is added, nothing paid  |
| the graph is resumed before its batch has ended     | it is interrupted again                                       |
| the process dies while a graph is being resumed     | another one resumes it a minute later                         |
| a person resumes the graph, or its thread is deleted | nothing more happens to it                                    |
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import json
import logging
import uuid
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar, Unpack

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict  # of Python's own before 3.12, a server can make no schema

from langchain_nebula_video.errors import InvalidRequestError, printable
from langchain_nebula_video.fleet import BatchClientOptions, Fleet, ItemState, Result, waiters
from langchain_nebula_video.fleet.results import read_broken, read_items
from langchain_nebula_video.langchain.replay import node_key

__all__ = ["FleetState", "fleet_node", "resume_graphs"]

logger = logging.getLogger("langchain_nebula_video")

T = TypeVar("T")

_TYPE = "nebula_video_fleet"
_LEASE, _RENEW_SECONDS = timedelta(seconds=60), 15.0
_POLL_SECONDS = 1.0
_LEAST_DELAY, _MOST_DELAY = timedelta(seconds=1), timedelta(minutes=5)
_GIVE_UP = timedelta(days=1)
"""So long a graph may take until it has stored its interrupt, or its thread is given up."""
_CHECKPOINTER = "__pregel_checkpointer"
"""Where LangGraph's configuration has the checkpointer: `None` if there is none."""


class FleetState(TypedDict, total=False):
    """What a fleet node reads and writes, as plain data."""

    requests: list[dict[str, Any]]
    """The videos to make: fields of a `VideoRequest`, with images as URLs, `data:` URIs, bytes or content blocks; and
    `key`, your own name of the video, if you like."""
    videos: list[dict[str, Any] | None]
    """For each request the fields of its `Video`, or `None` if there is none."""
    failed: list[dict[str, Any]]
    """For each request without a video: `number` (its place, from 1), `key`, `state` (`failed`, `unconfirmed`,
    `canceled`, or `broken` for a request that cannot work) and `error`."""


def fleet_node(
    fleet: Fleet,
    *,
    batch: str = "graph",
    requests: str = "requests",
    videos: str = "videos",
    failed: str = "failed",
    defaults: Mapping[str, Any] | None = None,
    budget: Decimal | float | str | None = None,
    priority: int = 0,
    hours: str | None = None,
    **options: Unpack[BatchClientOptions],
) -> Runnable[Any, dict[str, Any]]:
    """A node that hands `state["requests"]` to the fleet, and writes `videos` and `failed` when they have ended.

    Meanwhile the graph is interrupted, and no process waits for it: `resume_graphs` goes on with it. Each run of the
    node is a batch of its own. Each video is named by the thread, the node and the request, so a node that runs again
    adds nothing; the same request twice in a list is one video.

    Compile the graph with a checkpointer. The node works in `invoke` and in `ainvoke`.

    Args:
        fleet: Its tables are there: `Fleet.init`.
        batch: What the names of its batches begin with: `graph-` and 16 characters. Give each graph another one, if
            graphs with different checkpointers share a fleet.
        requests: The key of the state that has the requests.
        videos: The key for the videos. Branches that run at the same time need keys of their own, or a reducer.
        failed: The key for what has no video.
        defaults: Fields that hold where a request does not set them.
        budget: The most that one run of the node may cost, in US dollars; see `Fleet.submit_many`.
        priority: Batches with a higher one go first.
        hours: Begin items only within these hours of the day; see `Fleet.submit_many`.
        options: Options of a client that hold for all its videos; see `Fleet.submit_many`.

    Raises:
        InvalidRequestError: In a run: there is no checkpointer or thread, the state has no list of requests, or a
            request is not plain data. Requests that cannot work are in `failed` instead.
        JournalError: In a run: the database does not work, or has no fleet.
    """
    keys = _Keys(requests, videos, failed)
    order: dict[str, Any] = {"defaults": defaults, "budget": budget, "priority": priority, "hours": hours, **options}

    def hand_over(state: Any, config: RunnableConfig) -> _Work:
        return _Work(fleet, batch, keys, order, *_identify(state, config, requests))

    def make(state: Any, config: RunnableConfig) -> dict[str, Any]:
        work = hand_over(state, config)
        while not _run_aside(work.advance()):
            interrupt(work.question())
        return work.update()

    async def amake(state: Any, config: RunnableConfig) -> dict[str, Any]:
        work = hand_over(state, config)
        while not await work.advance():
            interrupt(work.question())
        return work.update()

    return RunnableLambda(make, amake, name="nebula_fleet")


@dataclass(frozen=True, slots=True)
class _Keys:
    requests: str
    videos: str
    failed: str


def _identify(state: Any, config: RunnableConfig, requests: str) -> tuple[Sequence[Any], str, str]:
    """Return the requests, the thread, and the key of the node.

    Raises:
        InvalidRequestError: it could not be resumed, or has nothing to do.
    """
    configurable = config.get("configurable") or {}
    thread_id, node = configurable.get("thread_id"), node_key()
    if thread_id is None or node is None or configurable.get(_CHECKPOINTER, node) is None:
        raise InvalidRequestError(
            "A fleet node waits without a process, and this graph could not be resumed.",
            hint='Compile it with a checkpointer, and run it with {"configurable": {"thread_id": …}}.',
        )
    found = state.get(requests) if isinstance(state, Mapping) else getattr(state, requests, None)
    if not isinstance(found, list | tuple):
        raise InvalidRequestError(
            f"The state has no list of {requests}.",
            hint=f'Give {{"{requests}": [{{"prompt": "…", "image": "https://…"}}]}}.',
        )
    return found, str(thread_id), node


class _Work:
    """One run of a node, until its items have ended."""

    def __init__(
        self,
        fleet: Fleet,
        group: str,
        keys: _Keys,
        order: Mapping[str, Any],
        requests: Sequence[Any],
        thread_id: str,
        node: str,
    ) -> None:
        self._fleet, self._group, self._state_keys, self._order = fleet, group, keys, order
        self._thread_id = thread_id
        self._batch = f"{group}-{hashlib.blake2b(node.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"
        self._rows = [_row(number, request, node) for number, request in enumerate(requests, start=1)]
        self._found: dict[str, Result] = {}
        self._broken: dict[str, str] = {}

    async def advance(self) -> bool:
        """Hand over what is not there yet, and return whether all of it has ended."""
        do = self._fleet._do  # noqa: SLF001 of this package
        if not self._rows:
            return True
        await self._read()
        if rows := self._to_hand_over():
            await self._fleet.submit_many(rows, batch=self._batch, **self._order)
            await self._read()
        if all(result.ended for result in self._found.values()):
            await do(waiters.collect, self._batch)
            return True
        elsewhere = [key for key, result in self._found.items() if result.batch != self._batch]
        await do(waiters.arm, self._batch, self._group, self._thread_id, elsewhere)
        return False

    async def _read(self) -> None:
        do = self._fleet._do  # noqa: SLF001
        self._broken = await do(read_broken, self._batch)
        self._found = await do(read_items, [row["key"] for row in self._rows if row["place"] not in self._broken])

    def _to_hand_over(self) -> list[dict[str, Any]]:
        """Return what the fleet has not seen of this node. A key that is there may be that of another video."""
        seen = bool(self._broken) or any(result.batch == self._batch for result in self._found.values())
        return [
            row for row in self._rows if row["place"] not in self._broken and not (seen and row["key"] in self._found)
        ]

    def question(self) -> dict[str, Any]:
        """Return what the interrupt tells."""
        left = [result for result in self._found.values() if not result.ended]
        return {
            "type": _TYPE,
            "batch": self._batch,
            "requests": len(self._rows),
            "left": len(left),
            "usd": float(sum((result.usd for result in self._found.values()), Decimal(0))),
        }

    def update(self) -> dict[str, Any]:
        """Return what the node writes into the state."""
        made: list[dict[str, Any] | None] = []
        failed = []
        for number, row in enumerate(self._rows, start=1):
            result = None if row["place"] in self._broken else self._found.get(row["key"])
            video = result.video if result is not None and result.state is ItemState.DONE else None
            made.append(None if video is None else video.model_dump(mode="json", exclude={"raw"}))
            if video is None:
                state = "broken" if result is None else result.state.value
                error = self._broken.get(row["place"]) if result is None else result.error
                failed.append({"number": number, "key": row["key"], "state": state, "error": error or state})
        return {self._state_keys.videos: made, self._state_keys.failed: failed}


def _row(number: int, request: Any, node: str) -> dict[str, Any]:
    if not isinstance(request, Mapping):
        raise InvalidRequestError(
            f"Request {number} is a {type(request).__name__}.", hint="Give a dict of a VideoRequest's fields."
        )
    text = json.dumps(request, sort_keys=True, default=_plain)
    digest = hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
    key = request.get("key") or f"{node}:{digest}"
    return {**request, "key": key, "place": f"request {number}"}


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return f"bytes:{hashlib.blake2b(value, digest_size=16).hexdigest()}"
    raise InvalidRequestError(
        f"A request in the state has a {type(value).__name__}: a checkpointer may not keep it.",
        hint="Put images as bytes, data: URIs, image blocks or https URLs into the state.",
    )


def _run_aside(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine from blocking code, also if an event loop runs in this thread."""
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(context.run, asyncio.run, coroutine).result()


# --- resuming ---


async def resume_graphs(
    fleet: Fleet,
    graph: Any,
    *,
    batch: str | None = None,
    once: bool = False,
    concurrency: int = 8,
    keep: timedelta | None = timedelta(days=7),
    config: RunnableConfig | None = None,
    **run: Any,
) -> int:
    """Resume the graphs whose fleet nodes have their videos, until it is canceled.

    Run it in one process or in several: one of them at a time resumes a thread. A graph is resumed at least once. If a
    process dies while it does that, another one does it again a minute later; then nodes after the fleet node may run
    twice, as after any crash.

    Args:
        fleet: The fleet of the nodes.
        graph: The compiled graph with its checkpointer: the outermost one, if the node is in a subgraph.
        batch: Only of nodes with this `batch`; `None`: of all.
        once: Make one pass and return, instead of looking each second.
        concurrency: Threads at once.
        keep: How long batches stay in the fleet once their graphs have the results; `None`: until somebody deletes
            them. The journal keeps what was paid, and a batch with an unconfirmed submit stays.
        config: For the runs; `thread_id` is added. A run continues until the graph ends or is interrupted again.
        run: More keyword arguments of the graph's `ainvoke`, such as `context` or `durability`.

    Returns:
        With `once`, how many threads were resumed. A graph that raised an error is logged, and counted.

    Raises:
        JournalError: the database has been away for 15 minutes, or has no fleet.
    """
    resumer = _Resumer(fleet, graph, config, run)
    if keep is not None:
        await resumer.forget(batch, keep)
    renewing = asyncio.create_task(resumer.maintain(batch, keep))
    running: set[asyncio.Task[None]] = set()
    tried: list[str] = []
    try:
        while True:
            while len(running) < concurrency and (found := await resumer.claim(batch, tried)):
                running.add(asyncio.create_task(resumer.resume(found)))
                if once:
                    tried += [waiter.batch for waiter in found]
            if once and not running:
                return resumer.resumed
            if renewing.done():
                renewing.result()
            if running:
                done, running = await asyncio.wait(running, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            else:
                await asyncio.sleep(_POLL_SECONDS)
    finally:
        for task in (renewing, *running):
            task.cancel()
        await asyncio.gather(renewing, *running, return_exceptions=True)


class _Resumer:
    """Resumes the threads of one graph."""

    def __init__(self, fleet: Fleet, graph: Any, config: RunnableConfig | None, run: Mapping[str, Any]) -> None:
        self._do = fleet._do_patiently  # noqa: SLF001 of this package
        self._graph = graph
        self._config: RunnableConfig = config or {}
        self._run = run
        self._holder = uuid.uuid4().hex
        self._held: set[str] = set()
        self._blocking = False
        self.resumed = 0

    async def maintain(self, group: str | None, keep: timedelta | None) -> None:
        """Renew the leases of what runs, and delete old batches."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            await self._do(waiters.renew, self._holder, _LEASE, list(self._held))
            if keep is not None:
                await self.forget(group, keep)

    async def forget(self, group: str | None, keep: timedelta) -> None:
        """Delete old batches: without end they would make the fleet slow."""
        await self._do(waiters.forget_old, group, keep)

    async def claim(self, group: str | None, but: Sequence[str]) -> list[waiters.Waiter]:
        """Take the waiters of a thread."""
        return await self._do(waiters.claim, group, self._holder, _LEASE, but)

    async def resume(self, found: Sequence[waiters.Waiter]) -> None:
        """Resume a thread, and note what became of it."""
        thread_id = found[0].thread_id
        config: RunnableConfig = {
            **self._config,
            "configurable": {**(self._config.get("configurable") or {}), "thread_id": thread_id},
        }
        pending: dict[str, str] | None = None
        answers: dict[str, str] = {}
        self._held |= {each.batch for each in found}
        try:
            state = await self._state(config)
            pending = _pending(state)
            answers = {
                each.batch: pending[each.batch] for each in found if each.batch in pending and not _is_busy(each)
            }
            resume = {id_: {"type": _TYPE, "batch": name} for name, id_ in answers.items()}
            if answers or (any(each.cut_off for each in found) and _is_unfinished(state)):
                self.resumed += 1
                pending = None
                await self._go_on(Command(resume=resume) if answers else None, config)
                pending = _pending(await self._state(config))
        except asyncio.CancelledError:
            for waiter in found:
                await asyncio.shield(self._do(waiters.let_go, waiter.batch, self._holder))
            raise
        except Exception:
            logger.exception("the graph of thread %s failed when it was resumed", printable(thread_id))
            with suppress(Exception):
                pending = _pending(await self._state(config))
        for waiter in found:
            await self._note(waiter, pending, answers)
        self._held -= {each.batch for each in found}

    async def _note(
        self, waiter: waiters.Waiter, pending: Mapping[str, str] | None, answers: Mapping[str, str]
    ) -> None:
        """Note what became of a waiter; `pending` is `None` if the graph's state is not known."""
        took = waiter.batch in answers or waiter.collected is not None
        if pending is not None and waiter.batch not in pending and (took or waiter.age > _GIVE_UP):
            if not took:
                logger.warning("nobody waits for batch %s: its thread is not there", printable(waiter.batch))
            await self._do(waiters.tell, waiter.batch, self._holder)
        else:
            delay = min(max(waiter.age, _LEAST_DELAY), _MOST_DELAY)
            await self._do(waiters.release, waiter.batch, self._holder, delay)

    async def _state(self, config: RunnableConfig) -> Any:
        if not self._blocking:
            try:
                return await self._graph.aget_state(config)
            except NotImplementedError:  # a checkpointer for blocking runs alone
                self._blocking = True
        return await asyncio.to_thread(self._graph.get_state, config)

    async def _go_on(self, command: Command[Any] | None, config: RunnableConfig) -> None:
        if self._blocking:
            await asyncio.to_thread(self._graph.invoke, command, config, **self._run)
        else:
            await self._graph.ainvoke(command, config, **self._run)


def _pending(state: Any) -> dict[str, str]:
    """Return the ids of a thread's interrupts, by the batches that they wait for."""
    # LangGraph 1.1 still names a task that has ended while its step goes on. To answer it once more does nothing.
    return {
        each.value["batch"]: each.id
        for each in state.interrupts
        if isinstance(each.value, Mapping) and each.value.get("type") == _TYPE
    }


def _is_busy(waiter: waiters.Waiter) -> bool:
    """Whether somebody else, such as a person, has given the node its results just now, and its graph is not stored."""
    return waiter.collected is not None and waiter.collected < _LEASE and not waiter.cut_off


def _is_unfinished(state: Any) -> bool:
    """Whether a thread has something to do that waits for nobody."""
    return any(not task.interrupts for task in state.tasks)
