"""What the local server answers, by the prefix of the path: one row for each vendor's HTTP interface.

The fields are those that the vendors' clients read, at the versions of `requirements-peers.txt`. In the templates,
`task` is the task's id and `base` is the server's address.
"""

from __future__ import annotations

from dataclasses import dataclass

VIDEO = b"https://results.example.com/%(task)s.mp4"


@dataclass(frozen=True, slots=True)
class Dialect:
    """The answers of one interface. With `look`, other GET requests fetch the result and are no looks."""

    prefix: bytes
    submitted: bytes
    running: bytes
    succeeded: bytes
    look: bytes = b""
    """How the path of a look ends."""


_FAL = b"%(base)s/fal/requests/%(task)s"
_OPENAI = (
    b'{"id":"%%(task)s","object":"video","created_at":1800000000,"model":"sora-2","seconds":"4","size":"1280x720",'
    b'"progress":%d,"status":"%s"}'
)
_REPLICATE = (
    b'{"id":"%%(task)s","version":"v","model":"wan/i2v","status":"%s","input":{},"output":%s,"logs":"","error":null,'
    b'"metrics":{},"created_at":"2026-11-27T00:00:00Z","started_at":null,"completed_at":null,'
    b'"urls":{"get":"%%(base)s/replicate/v1/predictions/%%(task)s"}}'
)
_RUNWAY = b'{"id":"%%(task)s","createdAt":"2026-11-27T00:00:00Z",%s}'
_MAGIC = (
    b'{"id":"%%(task)s","created_at":"2026-11-27T00:00:00Z","credits_charged":120,"download":null,"downloads":[%s],'
    b'"enabled":true,"end_seconds":5.0,"error":null,"fps":24.0,"height":480,"name":null,"start_seconds":0.0,'
    b'"status":"%s","total_frame_cost":120,"type":"TEXT_TO_VIDEO","width":848}'
)
_WAVESPEED = b'{"code":200,"message":"success","data":{"id":"%%(task)s","status":"%s","outputs":[%s]}}'
_QUOTED = b'"' + VIDEO + b'"'

NEBULA = Dialect(
    b"/v1/",
    b'{"task_id":"%(task)s","status":"submitted","format":"mp4","metadata":{"model_price":0.0738,'
    b'"requested_seconds":5,"billing_pending":true,"group_ratio":1,'
    b'"output":{"task_id":"%(task)s","task_status":"PENDING"}}}',
    b'{"task_id":"%(task)s","status":"in_progress","format":"mp4",'
    b'"metadata":{"request_id":"r-%(task)s","output":{"task_id":"%(task)s","task_status":"RUNNING"}}}',
    b'{"task_id":"%(task)s","status":"succeeded","format":"mp4","url":' + _QUOTED + b","
    b'"metadata":{"billing_pending":false,"group_ratio":1,"model_price":0.0738,"request_id":"r-%(task)s",'
    b'"usage":{"video_count":1,"duration":5,"resolution":"720p"},'
    b'"output":{"task_id":"%(task)s","task_status":"SUCCEEDED","video_url":' + _QUOTED + b"}}}",
)
DIALECTS = (
    NEBULA,
    Dialect(
        b"/api/v1/",  # Alibaba
        b'{"request_id":"r-%(task)s","output":{"task_id":"%(task)s","task_status":"PENDING","video_url":""}}',
        b'{"request_id":"r-%(task)s","output":{"task_id":"%(task)s","task_status":"RUNNING","video_url":""}}',
        b'{"request_id":"r-%(task)s","output":{"task_id":"%(task)s","task_status":"SUCCEEDED","video_url":'
        + _QUOTED
        + b"}}",
    ),
    Dialect(
        b"/fal/",
        b'{"request_id":"%(task)s","response_url":"' + _FAL + b'","status_url":"' + _FAL + b'/status",'
        b'"cancel_url":"' + _FAL + b'/cancel"}',
        b'{"status":"IN_PROGRESS","logs":null}',
        b'{"status":"COMPLETED","logs":null,"video":{"url":' + _QUOTED + b"}}",
        look=b"/status",
    ),
    Dialect(
        b"/runway/",
        b'{"id":"%(task)s"}',
        _RUNWAY % b'"estimatedCost":{"credits":25},"progress":0.5,"status":"RUNNING"',
        _RUNWAY % (b'"cost":{"credits":25},"output":[' + _QUOTED + b'],"status":"SUCCEEDED"'),
    ),
    Dialect(b"/openai/", _OPENAI % (0, b"queued"), _OPENAI % (50, b"in_progress"), _OPENAI % (100, b"completed")),
    Dialect(
        b"/replicate/",
        _REPLICATE % (b"starting", b"null"),
        _REPLICATE % (b"processing", b"null"),
        _REPLICATE % (b"succeeded", _QUOTED),
    ),
    Dialect(
        b"/wavespeed/",
        _WAVESPEED % (b"created", b""),
        _WAVESPEED % (b"processing", b""),
        _WAVESPEED % (b"completed", _QUOTED),
    ),
    Dialect(
        b"/magic-hour/",
        b'{"id":"%(task)s","credits_charged":120,"estimated_frame_cost":120}',
        _MAGIC % (b"", b"rendering"),
        _MAGIC % (b'{"url":' + _QUOTED + b',"expires_at":"2026-11-28T00:00:00Z"}', b"complete"),
    ),
)


def dialect_of(path: bytes) -> Dialect | None:
    """Return the interface that a path belongs to."""
    return next((each for each in DIALECTS if path.startswith(each.prefix)), None)
