"""The emulated temporary storage: a policy, a form, and an address that the models alone can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langchain_nebula_video.emulator import Clock, Emulator, Status
from langchain_nebula_video.emulator.serving.multipart import read_form
from tests.tables import each_row

from .test_dashscope import LONGEST, MODEL, START, SUBMIT, a_request, connect, output

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

RESOLVE = {"X-DashScope-OssResourceResolve": "enable"}
HOURS = 3600.0


@pytest.fixture
def emulator() -> Emulator:
    emulator = Emulator(clock=Clock(START, running=False))
    emulator.add_account("sk-beijing", region="beijing")
    emulator.add_account("sk-other", region="beijing")
    return emulator


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(emulator) as client:
        yield client


def picture(number: int = 0) -> bytes:
    from langchain_nebula_video.emulator.rendering import images

    return images.sample(f"upload {number}", (640, 480))


async def granted(http: httpx.AsyncClient, model: str = MODEL) -> dict[str, Any]:
    answer = await http.get(f"/api/v1/uploads?action=getPolicy&model={model}")
    assert answer.status_code == 200
    data: dict[str, Any] = answer.json()["data"]
    return data


async def upload(http: httpx.AsyncClient, data: dict[str, Any], name: str = "cat.jpg", **changes: str) -> Any:
    """As the vendor's pages show it; no key goes along."""
    form = {
        "OSSAccessKeyId": data["oss_access_key_id"],
        "Signature": data["signature"],
        "policy": data["policy"],
        "key": f"{data['upload_dir']}/{name}",
        "x-oss-object-acl": data["x_oss_object_acl"],
        "x-oss-forbid-overwrite": data["x_oss_forbid_overwrite"],
        "success_action_status": "200",
    } | changes
    request = http.build_request("POST", data["upload_host"], data=form, files={"file": (name, picture())})
    del request.headers["authorization"]
    return await http.send(request)


async def uploaded(http: httpx.AsyncClient) -> str:
    data = await granted(http)
    assert (await upload(http, data)).status_code == 200
    return f"oss://{data['upload_dir']}/cat.jpg"


async def test_policy_has_the_fields_of_the_page(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """The form's address is the emulator itself."""
    data = await granted(http)
    assert data.keys() >= {
        *("policy", "signature", "upload_dir", "upload_host", "oss_access_key_id"),
        *("x_oss_object_acl", "x_oss_forbid_overwrite"),
    }
    assert data["upload_host"].startswith("http://127.0.0.1/")


@each_row("query", ["", "?action=getPolicy", "?model=m", "?action=put&model=m"])
async def test_policy_wants_an_action_and_a_model(http: httpx.AsyncClient, query: str) -> None:
    """Both of them."""
    answer = await http.get("/api/v1/uploads" + query)
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidParameter")


async def test_uploaded_picture_becomes_the_first_frame(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """Byte for byte."""
    answer = await http.post(SUBMIT, json=a_request(img_url=await uploaded(http)), headers=RESOLVE)
    assert answer.status_code == 200
    task, _ = emulator._state.engine.find(answer.json()["output"]["task_id"])
    assert task.spec.image is not None
    assert task.spec.image.content == picture()
    assert emulator.violations == ()


async def test_address_is_not_resolved_without_the_header(http: httpx.AsyncClient) -> None:
    """It is refused like any address that is none."""
    answer = await http.post(SUBMIT, json=a_request(img_url=await uploaded(http)))
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidParameter")
    assert answer.json()["message"] == "url error, please check url!"


@pytest.mark.parametrize(("hours", "status"), [(47.9, Status.SUCCEEDED), (48, Status.FAILED)])
async def test_upload_is_kept_for_48_hours(
    http: httpx.AsyncClient, emulator: Emulator, hours: float, status: Status
) -> None:
    """After that the task fails."""
    url = await uploaded(http)
    emulator.clock.advance(hours * HOURS)
    await http.post(SUBMIT, json=a_request(img_url=url), headers=RESOLVE)
    emulator.clock.advance(LONGEST)
    assert emulator.tasks[0].status is status


@pytest.mark.parametrize(("key", "model"), [("sk-other", MODEL), ("sk-beijing", "wan2.2-i2v-flash")])
async def test_upload_is_for_one_account_and_one_model(
    http: httpx.AsyncClient, emulator: Emulator, key: str, model: str
) -> None:
    """Those that the policy was given to."""
    url = await uploaded(http)
    async with connect(emulator, key=key) as other:
        answer = await other.post(SUBMIT, json=a_request(model, img_url=url), headers=RESOLVE)
        emulator.clock.advance(LONGEST)
        told = await output(other, answer.json()["output"]["task_id"])
    assert told["code"] == "InvalidParameter.DataInspection"


@each_row(
    ("changes", "status", "code"),
    [
        ({"Signature": "AAAA"}, 403, "SignatureDoesNotMatch"),
        ({"policy": "AAAA"}, 403, "SignatureDoesNotMatch"),
        ({"OSSAccessKeyId": "LTAI"}, 403, "InvalidAccessKeyId"),
        ({"key": "elsewhere/cat.jpg"}, 403, "AccessDenied"),
    ],
)
async def test_form_that_was_not_signed_is_refused(
    http: httpx.AsyncClient, changes: dict[str, str], status: int, code: str
) -> None:
    """In the storage's own form."""
    answer = await upload(http, await granted(http), **changes)
    assert answer.status_code == status
    assert f"<Code>{code}</Code>" in answer.text


async def test_policy_expires_and_nothing_is_overwritten(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """Five minutes are enough to upload."""
    data = await granted(http)
    assert (await upload(http, data)).status_code == 200
    assert (await upload(http, data)).status_code == 409
    emulator.clock.advance(300)
    answer = await upload(http, data, "dog.jpg")
    assert answer.status_code == 403
    assert "<Message>Invalid according to Policy: Policy expired.</Message>" in answer.text


async def test_key_sent_to_the_storage_is_a_violation(http: httpx.AsyncClient, emulator: Emulator) -> None:
    """The form is signed; the key has no business there."""
    await http.post("/oss")
    (violation,) = emulator.violations
    assert violation.rule == "key_outside_gateway"


@each_row("content", [b"", b"\r\n", b"\r\n--x", b"a\r\n\r\nb\n\0\xff--"])
def test_form_is_read_to_the_byte(content: bytes) -> None:
    """Whatever is in the file."""
    body = (
        b'--xyz\r\nContent-Disposition: form-data; name="key"\r\n\r\na/b\r\n'
        b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: image/png\r\n\r\n'
        + content
        + b"\r\n--xyz--\r\n"
    )
    assert read_form("multipart/form-data; boundary=xyz", body) == {"key": b"a/b", "file": content}


@each_row("kind", ["", "application/json", "multipart/form-data"])
def test_what_is_no_form_has_no_fields(kind: str) -> None:
    """Nor does it do any harm."""
    assert read_form(kind, b"{}") == {}
