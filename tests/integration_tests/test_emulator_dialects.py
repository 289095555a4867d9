"""The emulator's further dialects over real loopback connections, down to the videos."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import av
import httpx
import pytest

from langchain_nebula_video.emulator import Dialect, Emulator
from langchain_nebula_video.emulator.rendering import images

if TYPE_CHECKING:
    from collections.abc import Iterator

DASHSCOPE = "/api/v1/services/aigc/video-generation/video-synthesis"
BOTH_FRAMES = "/api/v1/services/aigc/image2video/video-synthesis"
LONGEST = 300.0


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        emulator.add_account("sk-beijing", region="beijing")
        emulator.add_account("sk-singapore", region="singapore")
        yield emulator


def client(emulator: Emulator, base: str, key: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}", "X-DashScope-Async": "enable"}
    return httpx.Client(base_url=base, headers=headers, timeout=20)


def video_of(http: httpx.Client, emulator: Emulator, path: str, query: str, request: dict[str, Any]) -> bytes:
    answer = http.post(path, json=request)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    emulator.clock.advance(LONGEST)
    told = http.get(query + (body.get("output") or body)["task_id"]).json()
    url = (told.get("output") or told)["video_url"]
    # Without the key: the address is signed.
    return httpx.get(url, timeout=20).content


@pytest.mark.parametrize(
    ("model", "parameters", "rate", "seconds", "size", "heard"),
    [
        ("wan2.5-i2v-preview", {"resolution": "480P"}, 24, 5, (840, 472), True),
        ("wan2.5-i2v-preview", {"resolution": "480P", "audio": False}, 24, 5, (840, 472), False),
        ("wan2.2-i2v-flash", {"audio": True}, 30, 5, (1280, 720), False),
        ("wanx2.1-i2v-turbo", {"resolution": "480P", "duration": 3}, 30, 3, (840, 472), False),
    ],
)
def test_dashscope_video_is_what_its_model_makes(
    emulator: Emulator,
    model: str,
    parameters: dict[str, Any],
    rate: int,
    seconds: int,
    size: tuple[int, int],
    heard: bool,
) -> None:
    """Frame rate, length, size and sound."""
    image = emulator.host_image(images.sample("cat"))
    request = {"model": model, "input": {"prompt": "a cat", "img_url": image}, "parameters": parameters}
    with client(emulator, emulator.dashscope_url(), "sk-beijing") as http:
        video = video_of(http, emulator, DASHSCOPE, "/api/v1/tasks/", request)
    with av.open(io.BytesIO(video), "r") as container:
        stream = container.streams.video[0]
        assert stream.average_rate == rate
        assert stream.frames == rate * seconds
        assert (stream.width, stream.height) == size
        assert bool(container.streams.audio) is heard


@pytest.mark.parametrize(("region", "key"), [("beijing", "sk-beijing"), ("singapore", "sk-singapore")])
def test_each_region_has_an_address(emulator: Emulator, region: str, key: str) -> None:
    """A key is good at its own."""
    request = {"model": "wan2.2-i2v-flash", "input": {"img_url": "https://example.com/cat.jpg"}}
    with client(emulator, emulator.dashscope_url(region), key) as http:
        assert http.post(DASHSCOPE, json=request).status_code == 200
    with client(emulator, emulator.dashscope_url(region), "sk-emulator") as http:
        assert http.post(DASHSCOPE, json=request).json()["code"] == "InvalidApiKey"
    with pytest.raises(ValueError, match="mars"):
        emulator.dashscope_url("mars")


def test_passthrough_and_vidu_make_videos_too(emulator: Emulator) -> None:
    """With the gateway's key, at the gateway's addresses."""
    first, last = "https://example.com/a.jpg", "https://example.com/b.jpg"
    frames = {"first_frame_url": first, "last_frame_url": last}
    wan = {"model": "wan2.2-kf2v-flash", "input": frames, "parameters": {"resolution": "480P", "watermark": True}}
    vidu = {"model": "viduq3t-540p", "prompt": "a coast", "image": first, "last_image": last, "duration": 1}
    with client(emulator, emulator.passthrough_url, emulator.api_key) as http:
        assert video_of(http, emulator, BOTH_FRAMES, "/api/v1/tasks/", wan)[4:8] == b"ftyp"
    with client(emulator, emulator.url, emulator.api_key) as http:
        path = "/v1/video/generations"
        assert video_of(http, emulator, path, path + "/", vidu)[4:8] == b"ftyp"
    assert [line.dialect for line in emulator.bill.lines] == [Dialect.PASSTHROUGH, Dialect.VIDU]
    assert emulator.violations == ()


@pytest.mark.parametrize(
    ("base", "key", "path", "request_"),
    [
        (
            "/singapore",
            "sk-singapore",
            DASHSCOPE,
            {"model": "wan2.2-i2v-plus", "input": {"img_url": "https://example.com/a.jpg"}},
        ),
        (
            "/alibailian",
            "sk-emulator",
            DASHSCOPE,
            {"model": "wan2.2-i2v-plus", "input": {"img_url": "https://example.com/a.jpg"}},
        ),
        ("", "sk-emulator", "/v1/video/generations", {"model": "viduq3p-720p", "prompt": "a coast"}),
    ],
)
@pytest.mark.parametrize(("kind", "tasks"), [("reset_before", 0), ("reset_after", 1), ("eof_after", 1)])
def test_faults_of_the_connection_are_every_dialects(
    emulator: Emulator, base: str, key: str, path: str, request_: dict[str, Any], kind: str, tasks: int
) -> None:
    """A submit whose answer is lost has left a task, or has not."""
    emulator.faults.add("submit", kind)
    with client(emulator, emulator.url + base, key) as http, pytest.raises(httpx.TransportError):
        http.post(path, json=request_)
    assert len(emulator.tasks) == tasks
