"""LiteLLM's proxy: `/v1/videos`, with what it alone has.

Source: LiteLLM 1.110.2 and 1.108.7, run on 2026-11-27. By default it sends a paid submit up to three times when the
vendor's answer is lost, and each may make a task. `num_retries` and `disable_fallbacks` in the body keep it from that.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langchain_nebula_video.errors import InvalidRequestError
from langchain_nebula_video.protocols import parsing
from langchain_nebula_video.protocols.videos import WAN_FIELDS, Form, Videos
from langchain_nebula_video.protocols.wire import FrameForm, Protocol, Reply, Submission, WireRequest

__all__ = ["PROTOCOL"]

_TASK_ID = re.compile(
    r"litellm:custom_llm_provider:(?P<provider>[^;]*);model_id:.*?;video_id:(?P<vendor>[^;]*)", re.DOTALL
)
_UNSAFE = re.compile(r"[^\x00-\x3e\x40-\x7e]")
"""What can put a slash into the base64 of an id: `?`, and all that is not ASCII."""


class _LiteLLM(Videos):
    def build_submit(
        self,
        model: str,
        fields: Mapping[str, Any],
        images: Mapping[str, Any],
        *,
        frames: FrameForm = "fields",
    ) -> WireRequest:
        """Refuse a model's name that may put a slash into the task's id: LiteLLM cannot be asked for such a task."""
        found = _UNSAFE.search(model)
        if found is not None:
            raise InvalidRequestError(
                f"The proxy's name for the model, {model!r}, has {found[0]!r}: LiteLLM may give the task an id with a "
                "slash, and then it is paid for and can never be fetched.",
                hint="Let its operator name the model in plain ASCII, without a question mark.",
            )
        return super().build_submit(model, fields, images, frames=frames)

    def parse_submit(self, reply: Reply) -> Submission | None:
        submission = super().parse_submit(reply)
        if submission is None:
            return None
        # The proxy's list price of what was asked for. It is 0 on errors, and absent if no price is known.
        amount = parsing.get_decimal({"usd": reply.headers.get("x-litellm-response-cost")}, "usd")
        warnings = filter(None, (_describe_repeats(reply), self.describe_unreachable(submission.task_id)))
        return replace(
            submission,
            snapshot=replace(submission.snapshot, amount_usd=amount or None),
            warning=" ".join(warnings) or None,
        )

    def describe_unreachable(self, task_id: str) -> str | None:
        """Tell of an id with a slash: LiteLLM cannot be asked for it, raw or percent-encoded."""
        if "/" not in task_id:
            return None
        vendor = _vendor_task(task_id)
        where = f"{vendor[0]}, where it is {vendor[1]}" if vendor else "the vendor"
        return (
            "LiteLLM gave this paid task an id with a slash, which it cannot be asked for. Take the video from "
            f"{where}, and let the model be renamed in plain ASCII, without a question mark."
        )

    def names_other_task(self, reply: Reply, task_id: str) -> bool:
        """Compare the vendor's ids inside: the proxy completes an id that lacks a part of its own."""
        body = reply.json or {}
        answered, asked = _vendor_task(parsing.get_text(body, "id") or ""), _vendor_task(task_id)
        if answered is not None and asked is not None:
            return answered != asked
        return super().names_other_task(reply, task_id)


def _vendor_task(task_id: str) -> tuple[str, str] | None:
    """Return the provider and its own id of a task, which the proxy's id holds. `None`: it is no such id."""
    prefix, _, text = task_id.partition("_")
    if prefix != "video":
        return None
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), validate=True).decode()
    except ValueError:
        return None
    found = _TASK_ID.match(plain)
    return (found["provider"], found["vendor"]) if found else None


def _describe_repeats(reply: Reply) -> str | None:
    """Return a warning if the proxy sent the submit again, or gave it to another deployment."""
    counts = {
        what: parsing.get_decimal({"count": reply.headers.get(name)}, "count")
        for what, name in (("retries", "x-litellm-attempted-retries"), ("fallbacks", "x-litellm-attempted-fallbacks"))
    }
    told = " and ".join(f"{count} {what}" for what, count in counts.items() if count)
    if not told:
        return None
    return (
        f"LiteLLM sent this submit more than once ({told}): perhaps a second paid task exists, of which nobody has the "
        "id. Let its operator set num_retries: 0 and no fallbacks for video models."
    )


# JSON alone, since a multipart form carries no number and no boolean there. `resolution` is said, and not `size`: that
# one also sets a `ratio`. Without either, 1080P is made. Fields that it does not know (`template`) are dropped in
# silence, so they are not among these.
PROTOCOL: Protocol = _LiteLLM(
    Form(
        fields=WAN_FIELDS,
        image="input_reference",
        media_types={"image": "first_frame", "last_image": "last_frame", "audio_url": "driving_audio"},
        duration="duration",
        resolution="resolution",
        constants={"num_retries": 0, "disable_fallbacks": True},
    )
)
