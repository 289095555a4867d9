"""A submit from the console: an ordinary request to the emulator's own address, so that every fault can hit it."""

from __future__ import annotations

import asyncio
import http.client
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.datastructures import UploadFile

from langchain_nebula_video.emulator.dialects.nebula import SUBMIT_PATH
from langchain_nebula_video.emulator.dialects.nebula_models import NEBULA_MODELS

from .message import Message

if TYPE_CHECKING:
    from starlette.datastructures import FormData

    from langchain_nebula_video.emulator import Emulator

MODEL = next(iter(NEBULA_MODELS.values()))
PATIENCE = 10.0
"""Seconds to wait for an answer. A fault may hold it longer than anybody wants to look at a page."""


async def submit(emulator: Emulator, form: FormData) -> Message:
    """Submit what a form says.

    Args:
        emulator: A started emulator.
        form: `prompt`, `resolution`, `seconds`, `seed` and `generate_audio` as texts, and a file `image`. Without a
            file, the package's photograph of a cat is sent.

    Raises:
        ValueError: A number is none.
    """
    image = form.get("image")
    content = await image.read() if isinstance(image, UploadFile) else b""
    # By address, because Nebula's code understands no bytes.
    address = emulator.host_image(content or await asyncio.to_thread(_cat))
    body: dict[str, Any] = {
        "model": MODEL.name,
        "prompt": str(form.get("prompt", "")),
        "image": address,
        "resolution": str(form.get("resolution") or MODEL.default_resolution),
        "duration": int(str(form.get("seconds") or MODEL.default_seconds)),
        "generate_audio": "generate_audio" in form,
    }
    if seed := str(form.get("seed", "")).strip():
        body["seed"] = int(seed)
    return await asyncio.to_thread(_post, emulator.url, emulator.api_key, body)


def _cat() -> bytes:
    return files("langchain_nebula_video").joinpath("assets", "cat.jpg").read_bytes()


def _post(url: str, api_key: str, body: dict[str, Any]) -> Message:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=PATIENCE)
    headers = {"authorization": f"Bearer {api_key}", "content-type": "application/json"}
    try:
        connection.request("POST", SUBMIT_PATH, json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read(100_000).decode("utf-8", "replace")
    except TimeoutError:
        return Message(f"No answer within {PATIENCE:g} seconds. {_UNKNOWN}", good=False)
    except (OSError, http.client.HTTPException) as error:
        broken = f"The connection broke before an answer came ({type(error).__name__})."
        return Message(f"{broken} {_UNKNOWN}", good=False)
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        return Message(f"Refused: HTTP {answer.status} {answer.reason}.", good=False, detail=text)
    try:
        task_id = str(json.loads(text)["task_id"])
    except (ValueError, KeyError, TypeError):
        return Message(f"HTTP 200, but the answer names no task. {_UNKNOWN}", good=False, detail=text)
    return Message("Accepted: task", task_id=task_id)


_UNKNOWN = "The task may exist and be billed: look at the list before you submit again."
