"""DashScope's temporary storage, as its API and its models see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.refusals import Reason, Refusal
from langchain_nebula_video.emulator.serving.responses import json_answer
from langchain_nebula_video.emulator.serving.storage import UPLOAD_PATH
from langchain_nebula_video.emulator.serving.uploads import SCHEME

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_nebula_video.emulator.accounts import Account
    from langchain_nebula_video.emulator.files import Files, Material
    from langchain_nebula_video.emulator.serving.exchange import Exchange
    from langchain_nebula_video.emulator.serving.responses import Answer
    from langchain_nebula_video.emulator.serving.uploads import Uploads


@dataclass(frozen=True, slots=True)
class Opened:
    """All files that one account's request for one model can name."""

    files: Files
    uploads: Uploads
    account: Account
    model: str

    def get(self, url: str, *, limit: int, sample: Callable[[str], bytes]) -> bytes:
        """The file at an address, one of the temporary storage's too; see `Files.get`."""
        if url.startswith(SCHEME):
            return self.uploads.get(url, self.account, self.model)
        return self.files.get(url, limit=limit, sample=sample)

    def keep(self, content: bytes) -> Material:
        """See `Files.keep`."""
        return self.files.keep(content)


def policy_answer(exchange: Exchange, account: Account, request_id: str) -> Answer:
    """``GET /api/v1/uploads?action=getPolicy&model=M``.

    Raises:
        Refusal: The action or the model is missing.
    """
    asked = exchange.query
    if asked.get("action") != "getPolicy" or not asked.get("model"):
        raise Refusal(Reason.PARAMETER, "action must be getPolicy, and a model must be named")
    data = exchange.core.uploads.policy(account, asked["model"], exchange.origin + UPLOAD_PATH)
    return json_answer({"request_id": request_id, "data": data})
