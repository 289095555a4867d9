"""The password or token of a store, and of a proxy, is in no repr, dump, trace or error; a pickle keeps a store's."""

from __future__ import annotations

import asyncio
import inspect
import json
import pickle
import traceback
from typing import Any

import httpx
import pytest
from langchain_core.load import dumps

from langchain_nebula_video import (
    AsyncNebulaVideoClient,
    InvalidRequestError,
    NebulaVideoClient,
    NebulaVideoError,
    NebulaVideoRunnable,
    NebulaVideoTool,
    NebulaVideoToolkit,
    NotSentError,
)
from langchain_nebula_video.cli.client import ClientFactory
from langchain_nebula_video.cli.options import GatewayOptions
from langchain_nebula_video.saving.secrets import SecretUrl, redact
from langchain_nebula_video.transport.guard import Destination
from langchain_nebula_video.transport.proxies import EnvironmentProxy
from tests.conftest import KEY, Gateway, settle, succeeded
from tests.tables import each_row
from tests.unit_tests.langchain.test_runnable import read_back
from tests.unit_tests.test_secrets import Recorder

PASSWORD, TOKEN = "hunter2pass", "tok123token"
STORE = f"memory://user:{PASSWORD}@bucket/videos?token={TOKEN}"
MP4 = b"\0\0\0\x18ftypisom" + bytes(12) + b"\0\0\0\x08moov" + b"\0\0\0\x08mdat"
ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.jpg"}
KINDS: list[Any] = [NebulaVideoTool, NebulaVideoRunnable, NebulaVideoClient, AsyncNebulaVideoClient, NebulaVideoToolkit]


def has_secret(text: str) -> bool:
    return PASSWORD in text or TOKEN in text


@each_row("kind", KINDS)
def test_no_repr_and_no_variable_shows_a_store_s_password(kind: Any) -> None:
    made = kind(api_key=KEY, save_to=STORE)
    shown = [repr(made), str(made), repr(vars(made)), dumps(made)]
    if hasattr(made, "model_dump"):
        shown.append(repr(made.model_dump()))
    assert not has_secret("".join(shown))


def test_a_dumped_runnable_has_a_store_without_its_secrets_and_is_loaded_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runnable = NebulaVideoRunnable(api_key=KEY, save_to=STORE)
    text = dumps(runnable)
    assert not has_secret(text + runnable.model_dump_json())
    shown = json.loads(text)["kwargs"]["save_to"]
    assert shown == "memory://…@bucket/videos?…"
    for other in ("", STORE.replace("videos", "elsewhere")):
        monkeypatch.setenv("NEBULA_VIDEO_SAVE_TO", other)
        with pytest.raises(InvalidRequestError, match="Set NEBULA_VIDEO_SAVE_TO"):  # it would save nothing
            read_back(text, "NEBULA_API_KEY")
    monkeypatch.setenv("NEBULA_VIDEO_SAVE_TO", STORE)
    assert read_back(text, "NEBULA_API_KEY").save_to == STORE


def test_a_store_without_secrets_is_dumped_as_it_is() -> None:
    assert json.loads(dumps(NebulaVideoRunnable(api_key=KEY, save_to="s3://bucket/x")))["kwargs"]["save_to"] == (
        "s3://bucket/x"
    )


@each_row("kind", [NebulaVideoTool, NebulaVideoRunnable])
def test_a_pickle_keeps_the_store_and_shows_it_nowhere(kind: Any) -> None:
    again = pickle.loads(pickle.dumps(kind(api_key=KEY, save_to=STORE)))
    assert again.save_to == STORE
    assert not has_secret(repr(again))


def test_no_trace_has_a_store_s_password(options: dict[str, Any], gateway: Gateway) -> None:
    recorder = Recorder()
    kinds: list[Any] = [NebulaVideoTool, NebulaVideoRunnable]
    for kind in kinds:
        gateway.fetches = [succeeded(), httpx.Response(200, content=MP4)]
        kind(**options, save_to=STORE).invoke(ASK, {"callbacks": [recorder]})
    assert len(recorder.runs) == 2
    assert not has_secret("".join(recorder.runs))


def test_an_error_shows_a_store_s_password_in_none_of_this_package_s_frames(options: dict[str, Any]) -> None:
    raised = []
    for store in (STORE, STORE.replace("memory", "nowhere"), STORE.replace("videos", "{nothing}")):
        with pytest.raises(NebulaVideoError) as caught:
            NebulaVideoClient(**options, save_to=store).generate(**ASK)
        raised.append(caught.value)
    for error in raised:
        report = traceback.TracebackException.from_exception(error, capture_locals=True)
        frames = [repr(frame.locals) for frame in report.stack if "langchain_nebula_video/" in frame.filename]
        assert not has_secret(str(error) + repr(error) + "".join(frames))


@each_row(
    ("url", "shown"),
    [
        ("s3://bucket/x", "s3://bucket/x"),
        ("s3://bucket/a@b/x", "s3://bucket/a@b/x"),
        ("sftp://u:p%40w@host/x", "sftp://…@host/x"),
        ("sftp://token@host/x", "sftp://…@host/x"),
        ("s3://key:sec/ret@bucket/x", "s3://…@bucket/x"),
        ("ftp://u:s3#cr/3t@host/x", "ftp://…@host/x"),
        ("ftp://u:s3?cr3t@host/x", "ftp://…@host/x"),
        ("s3://bucket/x?sig=abc#f", "s3://bucket/x?…#f"),
        ("simplecache::s3://k:s3cr3t@b/x", "simplecache::s3://…@b/x"),
        ("abfs://videos@account.blob.core.windows.net/x", "abfs://videos@account.blob.core.windows.net/x"),
        ("abfs://u:s3cr3t@account/x", "abfs://…@account/x"),
        ("s3://[bad", "s3://[bad"),
    ],
)
def test_a_store_s_url_is_shown_without_user_password_and_query(url: str, shown: str) -> None:
    assert redact(url, url) == shown
    assert repr(SecretUrl(url)) == repr(shown)
    assert SecretUrl(url) == url
    assert f"{SecretUrl(url)}" == url  # where it is opened


@each_row("end", ["/", "?", "#"])
def test_a_password_that_ends_the_host_is_not_shown_as_its_port(end: str) -> None:
    with pytest.raises(InvalidRequestError, match="write %2F for /") as caught:
        NebulaVideoClient(api_key=KEY, save_to=f"ftp://user:{PASSWORD}{end}x@host/videos").generate(**ASK)
    assert not has_secret(str(caught.value))


def test_the_command_that_goes_on_does_not_repeat_a_store_s_password() -> None:
    command = ClientFactory(target=GatewayOptions(), out=STORE).resume_command("task-1")
    assert not has_secret(command)
    assert "bucket/videos" in command


def _generate(client: Any) -> None:
    made = client.generate(**ASK)
    if inspect.isawaitable(made):
        asyncio.run(settle(made))


@each_row(
    "proxy",
    [
        f"http://user:{PASSWORD}@127.0.0.1:port",
        f"http://user:{PASSWORD}/x@127.0.0.1:1",
        f"nonsense://{PASSWORD}@127.0.0.1",
        f"socks5://user:{PASSWORD}@127.0.0.1:1",
        f"nonsense://127.0.0.1/{PASSWORD}?token={TOKEN}",
    ],
)
def test_a_proxy_s_password_is_in_no_error(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    del proxy
    for kind in (NebulaVideoClient, AsyncNebulaVideoClient):
        with pytest.raises(NotSentError, match="HTTPS_PROXY") as caught:
            _generate(kind(api_key=KEY, base_url="https://gw.example.com", timeout=0.5))
        assert not has_secret(str(caught.value) + repr(caught.value))


def test_where_a_proxy_connects_is_shown_without_it() -> None:
    proxy = EnvironmentProxy("HTTPS_PROXY", "proxy", f"http://u:{PASSWORD}@proxy")
    assert not has_secret(repr(Destination("https://x.example.com", proxy=proxy)))
