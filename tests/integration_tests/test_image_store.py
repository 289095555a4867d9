"""Local images get an address in a store of the caller's, for as long as their task needs it. A real S3 client here."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from typer.testing import CliRunner

from langchain_nebula_video import (
    BudgetExceededError,
    InvalidRequestError,
    NebulaVideoClient,
    NebulaVideoTool,
    RefusedError,
    SqlJournal,
    TaskFailedError,
)
from langchain_nebula_video.cli.app import app
from langchain_nebula_video.cli.exit_codes import Exit
from langchain_nebula_video.cli.sample_image import make_sample_image
from langchain_nebula_video.emulator import Emulator
from tests.buckets import s3_bucket, s3_server
from tests.conftest import jpeg
from tests.gateways import all_gateways, reached
from tests.storage import Storage
from tests.tables import each_row

PICTURE = jpeg(1280, 720)
ASK: dict[str, Any] = {"prompt": "The cat blinks", "image": PICTURE, "resolution": "480p"}
PREFIX = "s3://pictures/lent"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(server: str) -> Iterator[Any]:
    """A private bucket; a fresh one for each test."""
    with s3_bucket(server) as client:
        yield client


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with all_gateways(speed=2000) as running:
        yield running


def names(client: Any) -> list[str]:
    return [item["Key"] for item in client.list_objects_v2(Bucket="pictures").get("Contents", [])]


def make(emulator: Emulator, **options: Any) -> NebulaVideoClient:
    return NebulaVideoClient(**{**reached(emulator, "nebula"), "image_store": PREFIX, **options})


def sent_image(emulator: Emulator) -> str:
    return str(emulator.tasks[-1].request["image"])


def test_a_local_image_goes_as_a_signed_address_and_is_removed_when_its_task_has_ended(
    emulator: Emulator, bucket: Any
) -> None:
    with make(emulator) as client:
        task = client.submit(**ASK)
        (name,) = names(bucket)
        address = urlsplit(sent_image(emulator))
        assert address.path == f"/pictures/{name}"
        assert name.startswith("lent/")
        assert len(name) > len("lent/") + 32
        lives = int(parse_qs(address.query)["Expires"][0]) - datetime.now(UTC).timestamp()
        assert 3600 < lives < 7200
        assert bucket.get_object(Bucket="pictures", Key=name)["Body"].read() == PICTURE
        client.wait(task)
    assert names(bucket) == []


def test_an_address_of_the_caller_s_is_left_alone(emulator: Emulator, bucket: Any) -> None:
    with make(emulator) as client:
        client.generate(prompt="The cat blinks", image="https://example.com/cat.png", resolution="480p")
    assert sent_image(emulator) == "https://example.com/cat.png"
    assert names(bucket) == []


@pytest.mark.parametrize("prompt", ["forbidden", "[fail] The cat blinks"])
def test_an_image_is_removed_when_its_task_is_refused_or_fails(emulator: Emulator, bucket: Any, prompt: str) -> None:
    with make(emulator) as client, pytest.raises((RefusedError, TaskFailedError)):
        client.generate(**{**ASK, "prompt": prompt})
    assert names(bucket) == []


def test_another_process_with_the_journal_and_the_key_removes_the_image(
    emulator: Emulator, bucket: Any, tmp_path: Path
) -> None:
    journal = f"sqlite:///{tmp_path / 'journal.db'}"
    with make(emulator, journal=SqlJournal(journal)) as first:
        first.submit(**ASK)
    assert len(names(bucket)) == 1
    with make(emulator, journal=SqlJournal(journal)) as second:
        for task in second.resume():
            second.wait(task)
    assert names(bucket) == []


def test_the_same_image_of_two_tasks_is_lent_twice(emulator: Emulator, bucket: Any) -> None:
    with make(emulator) as client:
        tasks = [client.submit(**ASK, key=key) for key in ("one", "two")]
        assert len(names(bucket)) == 2
        client.wait(tasks[0])
        assert len(names(bucket)) == 1


def test_a_store_that_everybody_may_list_is_refused_before_paying(emulator: Emulator, bucket: Any) -> None:
    """The server here lists to everybody. Its address must be one that this client may ask."""
    client = make(emulator, download_hosts=["127.0.0.1"])
    with client, pytest.raises(InvalidRequestError, match="lists its contents to everybody"):
        client.generate(**ASK)
    assert not emulator.tasks
    assert names(bucket) == []


@pytest.mark.parametrize(
    ("store", "says"),
    [
        ("memory://pictures", "cannot sign"),
        ("s3://no-such-bucket/lent", "could not be put"),
        (lambda data: "http://pictures.example.com/cat.png", "no https address"),
        (lambda data: None, "no https address"),
        (lambda data: 1 / 0, "ZeroDivisionError"),
    ],
    ids=["memory", "no bucket", "http", "nothing", "fails"],
)
def test_a_store_that_cannot_lend_an_address_is_refused_before_paying(
    emulator: Emulator, bucket: Any, store: Any, says: str
) -> None:
    with make(emulator, image_store=store) as client, pytest.raises(InvalidRequestError, match=says) as caught:
        client.generate(**ASK)
    assert "Nothing was sent and nothing was spent" in str(caught.value)
    assert not emulator.tasks


@pytest.mark.parametrize("store", [Path("pictures"), "pictures", "file:///pictures", 7])
def test_what_is_no_store_is_refused_when_it_is_set(emulator: Emulator, store: Any) -> None:
    with pytest.raises(InvalidRequestError, match="image_store"):
        make(emulator, image_store=store)


def test_a_function_lends_the_address(emulator: Emulator) -> None:
    given: list[bytes] = []

    def publish(data: bytes) -> str:
        given.append(data)
        return "https://pictures.example.com/cat.jpg"

    tool = NebulaVideoTool(**reached(emulator, "nebula"), image_store=publish)
    tool.invoke({**ASK, "image": f"data:image/jpeg;base64,{base64.b64encode(PICTURE).decode()}"})
    assert given == [PICTURE]
    assert sent_image(emulator) == "https://pictures.example.com/cat.jpg"


def test_an_image_that_cannot_be_removed_costs_nobody_the_video(
    emulator: Emulator, bucket: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make(emulator) as client:
        task = client.submit(**ASK)
        for name in names(bucket):
            bucket.delete_object(Bucket="pictures", Key=name)
        bucket.delete_bucket(Bucket="pictures")
        with caplog.at_level(logging.WARNING):
            assert client.wait(task).url
        bucket.create_bucket(Bucket="pictures")


def test_without_a_store_a_refusal_of_bytes_says_so(emulator: Emulator) -> None:
    emulator.faults.add("submit", "status", code=400, accepted=False)
    with make(emulator, image_store=None) as client, pytest.raises(RefusedError, match="image_store"):
        client.generate(**ASK)


def test_nothing_is_removed_for_a_request_that_was_never_near_the_store(emulator: Emulator, bucket: Any) -> None:
    """A budget refuses it first. The bucket here does not even answer."""
    client = make(emulator, budget="0.01", image_store="s3://no-such-bucket/lent")
    with client, pytest.raises(BudgetExceededError):
        client.generate(**ASK)


def test_a_secret_of_the_store_is_in_no_error(emulator: Emulator, bucket: Any) -> None:
    """However long the store's own words are: they are cut after the secret has been taken out."""
    secret = "S" * 250
    client = make(emulator, image_store=f"s3://AKIAKEY:{secret}@no-such-bucket/lent")
    with client, pytest.raises(InvalidRequestError) as caught:
        client.generate(**ASK)
    assert "SSS" not in str(caught.value)


# --- addresses that a gateway cannot fetch ---

NEAR_ONLY = [
    "http://localhost:3210/f/abc.png", "http://127.0.0.1:8188/view?filename=a.png", "http://192.168.1.20:9000/b/cat.png",
    "https://10.0.0.5/cat.png", "http://169.254.1.1/cat.png", "http://[::1]/cat.png", "http://[fd00::5]/cat.png",
    "http://minio:9000/b/cat.png", "http://host.docker.internal/cat.png", "http://nas.local/cat.png",
]  # fmt: skip


@each_row("address", NEAR_ONLY)
@pytest.mark.parametrize("field", ["image", "audio_url"])
def test_an_address_that_only_this_network_can_open_is_not_sent_to_a_gateway_elsewhere(
    field: str, address: str
) -> None:
    fields: dict[str, Any] = {"prompt": "The cat blinks", "image": "https://example.com/cat.png"}
    fields[field] = address.replace("http:", "https:") if field == "audio_url" else address
    client = NebulaVideoClient(api_key="sk-none", base_url="https://gateway.invalid")
    with client, pytest.raises(InvalidRequestError, match="only this machine or its network") as caught:
        client.generate(**fields)
    assert "Nothing was sent and nothing was spent" in str(caught.value)


def test_a_gateway_on_this_machine_is_sent_any_address(emulator: Emulator) -> None:
    with make(emulator, image_store=None) as client:
        for address in NEAR_ONLY:
            client.submit(**{**ASK, "image": address})
            assert sent_image(emulator) == address


# --- the check-up ---


class Signing(MemoryFileSystem):  # type: ignore[misc]
    """A store that signs addresses on another server."""

    protocol = "signing"
    where = ""

    def sign(self, path: str, expiration: int | None = None, **_: Any) -> str:
        return f"{self.where}/{path.rpartition('/')[2]}?Expires={expiration}"


def test_the_check_up_stores_a_small_image_looks_at_its_address_and_removes_it(
    emulator: Emulator, bucket: Any, files: Storage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    there = reached(emulator, "nebula")
    args = ["doctor", "--json", "--base-url", there["base_url"], "--image-store"]

    def look(store: str, *more: str) -> tuple[int, str, str]:
        settings = {"api_key": there["api_key"]}
        result = CliRunner().invoke(app, [*args, store, *more], obj=settings, catch_exceptions=False)
        (found,) = [each for each in json.loads(result.stdout)["checks"] if each["check"] == "image store"]
        return result.exit_code, found["level"], found["seen"]

    fsspec.register_implementation("signing", Signing, clobber=True)
    monkeypatch.setattr(Signing, "where", files.url)
    monkeypatch.setattr(Signing, "store", {})  # its parent's is everybody's
    files.content = make_sample_image()
    assert look("signing://lent", "--download-host", "127.0.0.1")[:2] == (Exit.OK, "ok")
    files.content = b"a page that asks for a password"
    assert look("signing://lent", "--download-host", "127.0.0.1")[:2] == (Exit.OK, "warning")
    assert Signing.store == {}
    assert look(PREFIX)[:2] == (Exit.OK, "warning")  # its address is not on the public internet
    assert "lists its contents to everybody" in look(PREFIX, "--download-host", "127.0.0.1")[2]
    assert names(bucket) == []
    code, level, seen = look("s3://nowhere/lent")
    assert (code, level) == (Exit.INVALID, "fault")
    assert "could not be put into the image store s3://nowhere/lent" in seen
