"""The key goes to the gateway's host alone: it stands in no log, repr, error, traceback, dump, pickle or trace."""

from __future__ import annotations

import logging
import pickle
import traceback
from typing import Any

import httpx
import pytest
from langchain_core.load import dumps
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    InvalidRequestError,
    MemoryJournal,
    NebulaVideoClient,
    NebulaVideoError,
    NebulaVideoRunnable,
    NebulaVideoTool,
    RequestError,
)
from tests.conftest import KEY, FakeClock, Gateway, submitted

ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}
# A gateway that repeats the key in what it answers, as some do.
ECHO = httpx.Response(
    401,
    headers={"X-Oneapi-Request-Id": f"req-{KEY}"},
    json={"error": {"message": f"Incorrect key provided: {KEY}", "code": "", "type": "new_api_error"}},
)
FAULTS: list[Any] = [
    ECHO,
    httpx.Response(500, text=f"Authorization: Bearer {KEY}"),
    httpx.Response(200, text=f"<html>{KEY}</html>"),
    httpx.ConnectError(f"cannot connect with {KEY}"),
    httpx.ReadError(f"broke while sending {KEY}"),
    httpx.Response(302, headers={"Location": f"https://elsewhere.example.com/?key={KEY}"}),
]


class Recorder(BaseTracer):
    """Keeps every run as a tracing service would get it."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[str] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run.model_dump_json() if hasattr(run, "model_dump_json") else repr(run.__dict__))


def _everything_about(error: BaseException) -> str:
    """All that a log, a crash report with local variables, or another process could show."""
    report = traceback.TracebackException.from_exception(error, capture_locals=True)
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None:
        chain.append(link)
        link = link.__cause__ or link.__context__
    told = [repr(item) + str(item) + repr(item.__dict__) for item in chain]
    return "".join(report.format()) + "".join(told) + repr(pickle.dumps(error))


def _name(fault: Any) -> str:
    return f"{type(fault).__name__} {getattr(fault, 'status_code', '')}"


@pytest.mark.parametrize("fault", FAULTS, ids=_name)
@pytest.mark.parametrize("where", ["submit", "fetch"])
async def test_no_error_no_log_and_no_traceback_has_the_key(
    gateway: Gateway, clock: FakeClock, caplog: pytest.LogCaptureFixture, fault: Any, where: str
) -> None:
    if where == "submit":
        gateway.submits = [fault]
    else:
        gateway.fetches = [fault]
    transport = httpx.MockTransport(gateway)
    raised: list[NebulaVideoError] = []
    with caplog.at_level(logging.DEBUG):
        with httpx.Client(transport=transport) as client:
            blocking = NebulaVideoClient(api_key=KEY, clock=clock, http_client=client, timeout=300)
            with pytest.raises(NebulaVideoError) as caught:
                blocking.generate(**ASK)
            raised.append(caught.value)
        async with httpx.AsyncClient(transport=transport) as aclient:
            asynchronous = AsyncNebulaVideoClient(api_key=KEY, clock=clock, http_async_client=aclient, timeout=300)
            with pytest.raises(NebulaVideoError) as caught:
                await asynchronous.generate(**ASK)
            raised.append(caught.value)
    assert all(KEY in request.headers["Authorization"] for request in gateway.requests)
    for error in raised:
        ours = _everything_about(error).replace(_test_frames(error), "")
        assert KEY not in ours
        assert error.__context__ is None or KEY not in repr(error.__context__.__dict__)
    # The transport's own first line names the address; the redirect's address stays unread.
    assert KEY not in caplog.text


def _test_frames(error: BaseException) -> str:
    """What this file's own frames show of their local variables, the fault among them."""
    frames = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(line for line in frames.format() if "test_secrets.py" in line)


def test_no_repr_and_no_dump_has_the_key(options: dict[str, Any]) -> None:
    client = NebulaVideoClient(**options)
    tool = NebulaVideoTool(**options)
    runnable = NebulaVideoRunnable(**options)
    tool.invoke(ASK)
    shown = [repr(item) + str(item) for item in (client, tool, runnable)]
    shown += [repr(vars(client)), repr(vars(tool)), repr(tool.model_dump()), runnable.model_dump_json()]
    shown += [dumps(tool), dumps(runnable), repr(pickle.dumps(tool)), repr(pickle.dumps(runnable))]
    assert KEY not in "".join(shown)


def test_no_refusal_of_an_option_has_the_key() -> None:
    wrongs: list[dict[str, Any]] = [
        {"base_url": "http://gateway.example.com"},
        {"timeout": -1},
        {"colour": "red"},
        {"api_key": f"{KEY} x"},
    ]
    kinds: list[Any] = [NebulaVideoClient, NebulaVideoTool, NebulaVideoRunnable]
    for wrong in wrongs:
        for kind in kinds:
            with pytest.raises(InvalidRequestError) as caught:
                kind(**{"api_key": KEY, **wrong})
            assert KEY not in str(caught.value) + repr(caught.value) + repr(caught.value.__cause__)


async def test_no_trace_has_the_key(options: dict[str, Any]) -> None:
    recorder = Recorder()
    config: Any = {"callbacks": [recorder]}
    tool, runnable = NebulaVideoTool(**options), NebulaVideoRunnable(**options)
    tool.invoke(ASK, config)
    await tool.ainvoke(ASK, config)
    runnable.invoke(ASK, config)
    await runnable.ainvoke(ASK, config)
    assert len(recorder.runs) == 4
    assert KEY not in "".join(recorder.runs)


def test_the_journal_does_not_have_the_key(options: dict[str, Any]) -> None:
    journal = MemoryJournal()
    NebulaVideoClient(**options, journal=journal).generate(**ASK)
    assert KEY.encode() not in pickle.dumps(journal)


def test_the_key_does_not_follow_a_redirect(options: dict[str, Any], gateway: Gateway) -> None:
    gateway.submits = [httpx.Response(307, headers={"Location": "https://elsewhere.example.com/"}), submitted()]
    with pytest.raises(RequestError, match=r"a redirect to https://elsewhere\.example\.com\."):
        NebulaVideoClient(**options).generate(**ASK)
    assert [request.url.host for request in gateway.requests] == ["llm.ai-nebula.com"]


def test_a_signed_url_gets_neither_the_key_nor_what_a_client_of_ones_own_adds(
    gateway: Gateway, clock: FakeClock, tmp_path: Any
) -> None:
    movie = b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x08moov" + b"\0\0\0\x08mdat"
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host != "results.example.com":
            return gateway(request)
        seen.append(request)
        return httpx.Response(200, content=movie)

    headers = {"Authorization": "Bearer other", "Cookie": "session=1", "X-Token": "other"}
    transport = httpx.MockTransport(handle)
    with httpx.Client(
        transport=transport, headers=headers, auth=("user", "password"), params={"token": "other"}, cookies={"a": "b"}
    ) as client:
        settings: dict[str, Any] = {"api_key": KEY, "clock": clock, "http_client": client}
        NebulaVideoClient(**settings, save_to=tmp_path, download_hosts=["results.example.com"]).generate(**ASK)
    assert len(seen) == 1
    assert not {"authorization", "cookie", "x-token"} & set(seen[0].headers)
    assert b"token" not in seen[0].url.query


def test_the_key_is_read_anew_from_the_environment_by_each_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEBULA_API_KEY", KEY)
    assert NebulaVideoTool().resolve_api_key().get_secret_value() == KEY
