"""The commands that pay: generate and submit."""

# Typer reads the annotations, so they are evaluated here.
import sys
from decimal import Decimal
from functools import partial
from typing import Any

import typer

from langchain_nebula_video.cli import options as opt
from langchain_nebula_video.cli.bar import Bar
from langchain_nebula_video.cli.exits import Exit
from langchain_nebula_video.cli.order import Access, agree, checked, image_of, interrupted
from langchain_nebula_video.cli.voice import Voice, plain, tell_video, told_cost
from langchain_nebula_video.client import NebulaVideoClient
from langchain_nebula_video.models import find_model
from langchain_nebula_video.schema import VideoRequest
from langchain_nebula_video.storage import check_target

__all__ = ["generate", "submit"]


def generate(
    ctx: typer.Context,
    image: opt.Image,
    prompt: opt.Prompt,
    *,
    duration: opt.Duration = None,
    resolution: opt.Resolution = None,
    audio: opt.Audio = False,
    audio_url: opt.AudioUrl = None,
    smart_rewrite: opt.SmartRewrite = False,
    seed: opt.Seed = None,
    out: opt.Out = opt.HERE,
    max_cost: opt.MaxCost = None,
    group_ratio: opt.GroupRatio = Decimal(1),
    model: opt.ModelName = opt.MODEL,
    gateway: opt.GatewayName = opt.GATEWAY,
    base_url: opt.BaseUrl = None,
    timeout: opt.Timeout = None,
    poll_interval: opt.PollInterval = None,
    yes: opt.Yes = False,
    as_json: opt.AsJson = False,
) -> None:
    """Animate an image, wait, and save the video."""
    voice = Voice(as_json=as_json)
    settings = {"group_ratio": group_ratio, "budget": max_cost, "timeout": timeout, "poll_interval": poll_interval}
    access = Access(gateway=gateway, model=model, base_url=base_url, out=out, settings={**settings, **(ctx.obj or {})})
    with voice.reporting(resume=access.resume, interrupted=partial(interrupted, access.journal)):
        check_target(out)
        client = access.client()
        request = _ordered(
            voice,
            access,
            client,
            image,
            yes=yes,
            prompt=prompt,
            duration=duration,
            resolution=resolution,
            generate_audio=audio,
            audio_url=audio_url,
            smart_rewrite=smart_rewrite,
            seed=seed,
        )
        bar = Bar(voice, status="submitting", expected=find_model(model).typical(request.duration)[1])
        with bar.shown():
            video = client.generate(request, on_progress=bar.told)
        tell_video(voice, video)


def submit(
    ctx: typer.Context,
    image: opt.Image,
    prompt: opt.Prompt,
    *,
    duration: opt.Duration = None,
    resolution: opt.Resolution = None,
    audio: opt.Audio = False,
    audio_url: opt.AudioUrl = None,
    smart_rewrite: opt.SmartRewrite = False,
    seed: opt.Seed = None,
    max_cost: opt.MaxCost = None,
    group_ratio: opt.GroupRatio = Decimal(1),
    model: opt.ModelName = opt.MODEL,
    gateway: opt.GatewayName = opt.GATEWAY,
    base_url: opt.BaseUrl = None,
    timeout: opt.Timeout = None,
    yes: opt.Yes = False,
    as_json: opt.AsJson = False,
) -> None:
    """Start a video and return at once, with the task's id."""
    voice = Voice(as_json=as_json)
    settings = {"group_ratio": group_ratio, "budget": max_cost, "timeout": timeout}
    access = Access(gateway=gateway, model=model, base_url=base_url, settings={**settings, **(ctx.obj or {})})
    with voice.reporting(resume=access.resume, interrupted=partial(interrupted, access.journal)):
        client = access.client()
        request = _ordered(
            voice,
            access,
            client,
            image,
            yes=yes,
            prompt=prompt,
            duration=duration,
            resolution=resolution,
            generate_audio=audio,
            audio_url=audio_url,
            smart_rewrite=smart_rewrite,
            seed=seed,
        )
        task = client.submit(request)
        voice.facts({"Task": task.task_id, "Cost": told_cost(task.cost), "Go on with": access.resume(task.task_id)})
        voice.answer(plain(task), "" if sys.stdout.isatty() else task.task_id)


def _ordered(
    voice: Voice, access: Access, client: NebulaVideoClient, image: str, *, yes: bool, **fields: Any
) -> VideoRequest:
    """The request, once it is checked and its price accepted."""
    if fields["audio_url"] is not None and fields["generate_audio"]:
        voice.say("--audio-url wins over --audio.")
        fields["generate_audio"] = False
    request = checked({**fields, "image": image_of(image, access.model)}, access)
    if agree(voice, request, client.quote(request), budget=access.settings["budget"], yes=yes):
        return request
    voice.say("Declined. Nothing was sent and nothing was spent.")
    raise typer.Exit(Exit.FAILURE)
