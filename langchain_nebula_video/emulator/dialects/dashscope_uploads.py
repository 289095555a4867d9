"""The upload policy route, and the files that a DashScope request can name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_nebula_video.emulator.refusals import Reason, Refusal
from langchain_nebula_video.emulator.serving.responses import json_response
from langchain_nebula_video.emulator.serving.storage import UPLOAD_PATH
from langchain_nebula_video.emulator.serving.uploads import SCHEME

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_nebula_video.emulator.accounts import Account
    from langchain_nebula_video.emulator.files import FileStore, InputFile
    from langchain_nebula_video.emulator.serving.exchange import Exchange
    from langchain_nebula_video.emulator.serving.responses import Response
    from langchain_nebula_video.emulator.serving.uploads import Uploads


@dataclass(frozen=True, slots=True)
class RequestFiles:
    """All files that one account's request for one model can name."""

    files: FileStore
    uploads: Uploads
    account: Account
    model: str

    def get(self, url: str, *, limit: int, sample: Callable[[str], bytes]) -> bytes:
        """Return the file at a URL, including ``oss://`` URLs; see `FileStore.get`."""
        if url.startswith(SCHEME):
            return self.uploads.get(url, self.account, self.model)
        return self.files.get(url, limit=limit, sample=sample)

    def store(self, content: bytes) -> InputFile:
        """See `FileStore.store`."""
        return self.files.store(content)


def policy_response(exchange: Exchange, account: Account, request_id: str) -> Response:
    """``GET /api/v1/uploads?action=getPolicy&model=M``.

    Raises:
        Refusal: The action or the model is missing.
    """
    query = exchange.query
    if query.get("action") != "getPolicy" or not query.get("model"):
        raise Refusal(Reason.PARAMETER, "action must be getPolicy, and a model must be named")
    data = exchange.state.uploads.policy(account, query["model"], exchange.origin + UPLOAD_PATH)
    return json_response({"request_id": request_id, "data": data})
