"""The emulator over real loopback connections."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from langchain_nebula_video.emulator import Clock, Emulator, Status
from langchain_nebula_video.emulator.rendering import images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH = "/v1/video/generations"
REQUEST = {
    "model": "wan2.5-i2v-preview",
    "prompt": "a cat",
    "image": "https://example.com/cat.jpg",
    "resolution": "480p",
    "seed": 1,
}
LONGEST = 180.0


@pytest.fixture(scope="module")
def shared() -> Iterator[Emulator]:
    """One for the tests that only read a finished video: rendering is the slow part."""
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def client(emulator: Emulator) -> Iterator[httpx.Client]:
    with connect(emulator) as client:
        yield client


def connect(emulator: Emulator) -> httpx.Client:
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    return httpx.Client(base_url=emulator.url, headers=headers, timeout=10)


@pytest.fixture(scope="module")
def video_url(shared: Emulator) -> str:
    with connect(shared) as client:
        task_id = client.post(PATH, json=REQUEST).json()["task_id"]
        shared.clock.advance(LONGEST)
        url: str = client.get(f"{PATH}/{task_id}").json()["url"]
        return url


@contextlib.contextmanager
def submitted(emulator: Emulator, timeout: float = 5.0) -> Iterator[socket.socket]:
    """A bare socket on which a submit has been sent."""
    address = urlsplit(emulator.url)
    body = json.dumps(REQUEST).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {emulator.api_key}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port), timeout=timeout) as connection:
        connection.sendall(head.encode() + body)
        yield connection


def received(connection: socket.socket) -> bytes:
    """Everything until the end of the stream."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(("kind", "tasks"), [("reset_before", 0), ("reset_after", 1)])
def test_reset_is_a_reset(emulator: Emulator, kind: str, tasks: int) -> None:
    """The client sees ECONNRESET; only the later one has left a task."""
    emulator.faults.add("submit", kind)
    with submitted(emulator) as connection, pytest.raises(ConnectionResetError):
        received(connection)
    assert len(emulator.tasks) == tasks
    assert emulator.requests[0].status is None


@pytest.mark.parametrize(("kind", "tasks"), [("eof_before", 0), ("eof_after", 1)])
def test_eof_is_an_eof(emulator: Emulator, kind: str, tasks: int) -> None:
    """The stream ends in good order, without an answer."""
    emulator.faults.add("submit", kind)
    with submitted(emulator) as connection:
        assert received(connection) == b""
    assert len(emulator.tasks) == tasks


@pytest.mark.parametrize(("kind", "tasks"), [("stall_before", 0), ("stall_after", 1)])
def test_stall_answers_nothing_and_ends(emulator: Emulator, kind: str, tasks: int) -> None:
    """Silence for the time asked for, then the end of the stream."""
    emulator.faults.add("submit", kind, seconds=0.3)
    began = time.monotonic()
    with submitted(emulator) as connection:
        assert received(connection) == b""
    assert 0.25 < time.monotonic() - began < 20
    assert len(emulator.tasks) == tasks


def test_stop_ends_a_stall() -> None:
    """Nobody waits a minute for a test to tear down."""
    emulator = Emulator().start()
    emulator.faults.add("submit", "stall_after", seconds=60)
    with submitted(emulator) as connection:
        while not emulator.tasks:
            time.sleep(0.01)
        began = time.monotonic()
        emulator.stop()
        with contextlib.suppress(ConnectionResetError):
            assert received(connection) == b""
    assert time.monotonic() - began < 20


def test_late_answer_comes_late(emulator: Emulator, client: httpx.Client) -> None:
    """After a read timeout the task is there all the same."""
    emulator.faults.add("submit", "late", seconds=0.5)
    with pytest.raises(httpx.ReadTimeout):
        client.post(PATH, json=REQUEST, timeout=0.1)
    assert len(emulator.tasks) == 1


def test_truncated_answer_is_shorter_than_it_says(emulator: Emulator, client: httpx.Client) -> None:
    """Content-Length promises what does not come."""
    emulator.faults.add("submit", "truncated")
    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        client.post(PATH, json=REQUEST)
    assert len(emulator.tasks) == 1


@pytest.mark.parametrize("headers", [True, False])
def test_trickled_answer_is_whole_in_the_end(emulator: Emulator, client: httpx.Client, *, headers: bool) -> None:
    """Every read is fed, so only a deadline for the whole can end it."""
    emulator.faults.add("submit", "trickle", delay=0.002, chunk=8, headers=headers)
    began = time.monotonic()
    assert client.post(PATH, json=REQUEST, timeout=10).json()["status"] == "submitted"
    assert time.monotonic() - began > 0.05


def test_huge_answer_can_be_left(emulator: Emulator) -> None:
    """The server does not mind who goes away in the middle."""
    emulator.faults.add("submit", "huge", megabytes=200)
    with submitted(emulator) as connection:
        assert connection.recv(1024).startswith(b"HTTP/1.1 200")
    with connect(emulator) as client:
        assert client.post(PATH, json=REQUEST).status_code == 200


def test_kept_connection_is_used_again(emulator: Emulator, client: httpx.Client) -> None:
    """The log tells connections apart."""
    for _ in range(2):
        client.post(PATH, json=REQUEST)
    with connect(emulator) as other:
        other.post(PATH, json=REQUEST)
    assert [request.connection for request in emulator.requests] == [1, 1, 2]


def test_idle_connection_can_be_closed_behind_the_client(emulator: Emulator) -> None:
    """The answer does not announce it: what keep-alive races are made of."""
    emulator.faults.add("submit", "close_idle", delay=0.05)
    with submitted(emulator) as connection:
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" not in answer.lower()


def test_idle_connections_are_closed_in_time() -> None:
    """After `idle_close` seconds."""
    with Emulator(idle_close=0.1) as emulator, submitted(emulator) as connection:
        assert received(connection).endswith(b"}}")


def test_peaks_count_what_is_under_way_at_once(emulator: Emulator) -> None:
    """Five submits held up together; queries one by one."""
    emulator.faults.add("submit", "late", seconds=0.3, times=None)
    with connect(emulator) as client, concurrent.futures.ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda _: client.post(PATH, json=REQUEST), range(5)))
        for task in emulator.tasks:
            client.get(f"{PATH}/{task.id}")
    assert (emulator.peaks.submits, emulator.peaks.queries) == (5, 1)
    assert emulator.peaks.requests == 5


def test_peaks_of_one_after_the_other_stay_at_one(emulator: Emulator) -> None:
    """On new connections too: an answered request is no longer under way."""
    for _ in range(50):
        with submitted(emulator) as connection:
            connection.recv(65536)
    assert emulator.peaks.requests == 1


def test_video_is_served_whole_and_in_part(video_url: str) -> None:
    """GET, HEAD and ranges agree."""
    with httpx.Client(timeout=30) as client:
        whole = client.get(video_url)
        head = client.head(video_url)
        part = client.get(video_url, headers={"Range": "bytes=100-199"})
        rest = client.get(video_url, headers={"Range": "bytes=100-", "If-Range": whole.headers["etag"]})
        tail = client.get(video_url, headers={"Range": "bytes=-50"})
        stale = client.get(video_url, headers={"Range": "bytes=100-", "If-Range": '"other"'})
        beyond = client.get(video_url, headers={"Range": "bytes=99999999-"})
    size = len(whole.content)
    assert whole.headers["content-type"] == "video/mp4"
    assert int(head.headers["content-length"]) == size
    assert head.headers["etag"] == whole.headers["etag"]
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{size}"
    assert (rest.status_code, rest.content) == (206, whole.content[100:])
    assert (tail.status_code, tail.content) == (206, whole.content[-50:])
    assert (stale.status_code, stale.content) == (200, whole.content)
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize("reset", [True, False])
def test_download_can_be_cut(shared: Emulator, video_url: str, *, reset: bool) -> None:
    """After exactly so many bytes, by a reset or by the end of the stream."""
    shared.faults.add("download", "cut", at=5000, reset=reset)
    address = urlsplit(video_url)
    with contextlib.closing(http.client.HTTPConnection(address.netloc, timeout=10)) as connection:
        connection.request("GET", f"{address.path}?{address.query}")
        answer = connection.getresponse()
        got = answer.read(5000)
        expected = ConnectionResetError if reset else http.client.IncompleteRead
        with pytest.raises(expected):
            answer.read()
    assert got[4:8] == b"ftyp"


def test_download_can_be_slow(shared: Emulator, video_url: str) -> None:
    """Whole in the end."""
    shared.faults.add("download", "slow", bytes_per_second=2_000_000)
    with httpx.Client(timeout=30) as client:
        began = time.monotonic()
        slow = client.get(video_url).content
        taken = time.monotonic() - began
        assert slow == client.get(video_url).content
    assert taken > len(slow) / 2_000_000 / 2


def test_server_answers_while_it_renders(emulator: Emulator, client: httpx.Client) -> None:
    """And those who wait for one video wait for one rendering."""
    task_id = client.post(PATH, json=REQUEST | {"resolution": "720p"}).json()["task_id"]
    emulator.clock.advance(LONGEST)
    url = client.get(f"{PATH}/{task_id}").json()["url"]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        downloads = [pool.submit(httpx.get, url, timeout=60) for _ in range(3)]
        answered = 0
        while not all(download.done() for download in downloads):
            assert client.get(f"{PATH}/{task_id}", timeout=20).status_code == 200
            answered += 1
        assert len({download.result().content for download in downloads}) == 1
    assert answered > 3


def test_stop_ends_a_rendering() -> None:
    """The download breaks off; no thread is left behind."""
    before = set(threading.enumerate())
    emulator = Emulator().start()
    with connect(emulator) as client, concurrent.futures.ThreadPoolExecutor(1) as pool:
        task_id = client.post(PATH, json=REQUEST | {"resolution": "1080p"}).json()["task_id"]
        emulator.clock.advance(LONGEST)
        url = client.get(f"{PATH}/{task_id}").json()["url"]
        download = pool.submit(httpx.get, url, timeout=30)
        time.sleep(0.3)
        began = time.monotonic()
        emulator.stop()
        assert time.monotonic() - began < 20
        with pytest.raises(httpx.TransportError):
            download.result()
    assert set(threading.enumerate()) <= before


def test_picture_is_fetched_from_this_machine(emulator: Emulator, client: httpx.Client) -> None:
    """From another emulator, here; what answers 404 or nothing fails the task."""
    with Emulator() as other:
        for image in (other.host_image(images.sample("x")), f"{other.url}/hosted/none"):
            assert client.post(PATH, json=REQUEST | {"image": image}).status_code == 200
        dead = other.host_image(b"x")
    client.post(PATH, json=REQUEST | {"image": dead})
    emulator.clock.advance(LONGEST)
    statuses = [task.status for task in emulator.tasks]
    assert statuses == [Status.SUCCEEDED, Status.FAILED, Status.FAILED]


def test_emulators_live_side_by_side() -> None:
    """Each with its own port, tasks and signatures."""
    with Emulator() as one, Emulator() as other:
        with connect(one) as client:
            client.post(PATH, json=REQUEST)
        assert one.url != other.url
        assert (len(one.tasks), len(other.tasks)) == (1, 0)


def test_emulator_starts_and_stops_and_does_so_again() -> None:
    """The records outlive it, the port and the threads do not."""
    before = set(threading.enumerate())
    emulator = Emulator()
    for count in (1, 2):
        began = time.monotonic()
        with emulator, connect(emulator) as client:
            assert time.monotonic() - began < 10
            client.post(PATH, json=REQUEST)
            with pytest.raises(RuntimeError, match="running already"):
                emulator.start()
        assert len(emulator.tasks) == count
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulator.url
    emulator.stop()
    assert set(threading.enumerate()) <= before


def test_taken_port_is_an_error() -> None:
    """At once, in the thread that asked."""
    with Emulator() as emulator:
        port = urlsplit(emulator.url).port
        assert port is not None
        with pytest.raises(OSError, match="in use"):
            Emulator(port=port).start()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_serve_forever_ends_on_a_signal(tmp_path: Path, sent: signal.Signals) -> None:
    """With nothing on stderr and exit code 0."""
    script = (
        "from langchain_nebula_video.emulator import Emulator\n"
        "Emulator().serve_forever(ready=lambda url: print(url, flush=True))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": str(tmp_path)},
    )
    with process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert httpx.get(f"{url}/_emulator").json()["tasks"] == 0
        process.send_signal(sent)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")


def test_clock_given_stands_still() -> None:
    """Then nothing happens that the test did not ask for."""
    with Emulator(clock=Clock(1_762_254_911.0, running=False)) as emulator, connect(emulator) as client:
        answers: list[dict[str, Any]] = []
        task_id = client.post(PATH, json=REQUEST).json()["task_id"]
        for step in (0, 45, LONGEST):
            emulator.clock.advance(step)
            answers.append(client.get(f"{PATH}/{task_id}").json()["metadata"]["output"])
        assert [answer["task_status"] for answer in answers] == ["PENDING", "RUNNING", "SUCCEEDED"]
        assert answers[-1]["submit_time"] == "2025-11-04 19:15:11.000"
