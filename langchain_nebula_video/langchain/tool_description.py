"""What a language model reads about a tool before it calls it, for each offer."""

from __future__ import annotations

from decimal import Decimal

from langchain_nebula_video.catalog.offers import Offer
from langchain_nebula_video.schema import money

__all__ = ["description", "submit_description"]


_ALWAYS_ON = {
    "smart_rewrite": "rewrites the prompt",
    "generate_audio": "adds sound",
    "watermark": "puts its mark on the video",
}


def _price_list(offer: Offer, group_ratio: Decimal) -> str:
    if not offer.prices:
        return "It costs money; the price is not known here."
    seconds = offer.model.default_duration

    def amount(price: Decimal) -> str:
        return money(price * seconds * group_ratio, offer.gateway.currency)

    silent = {tier: f" ({amount(price)} without sound)" for tier, price in offer.silent_prices.items()}
    each = ", ".join(f"{amount(price)} at {tier}{silent.get(tier, '')}" for tier, price in offer.prices.items())
    longer = "; longer videos in proportion" if len(offer.model.durations) > 1 else ""
    return f"It costs money: {seconds} seconds cost {each}{longer}."


def _always_on(offer: Offer) -> str:
    """Return what the service does unasked, with a blank before it, for an agent whose user wants it otherwise."""
    done = [text for name, text in _ALWAYS_ON.items() if name in offer.always_on]
    return f" The service always {' and '.join(done)}: that cannot be switched off." if done else ""


def _summary(offer: Offer, *, conversation: bool) -> str:
    title = offer.model.title
    if offer.requires("reference_images"):
        return (
            f"Makes a short MP4 video with {title}: the reference images show who or what appears in it, the prompt "
            "says what happens."
        )
    if not offer.accepts("image"):
        return f"Makes a short MP4 video with {title}: the prompt says what is seen and what happens.{_sound(offer)}"
    frames = "the image is the first frame"
    if offer.requires("last_image"):
        frames = "image is the first frame, last_image the last"
    alone = ""
    if not offer.requires("image"):
        where = "Where neither the call nor the conversation has an image" if conversation else "Without an image"
        alone = f" {where}, the video is made of the prompt alone."
    return (
        f"Animates one still image into a short MP4 video with {title}: {frames}, the prompt says what then "
        f"happens.{alone}{_sound(offer)}"
    )


def _sound(offer: Offer) -> str:
    return " The video always has sound." if offer.model.always_sound else ""


def _max_wait(offer: Offer) -> str:
    slowest = offer.model.slowest
    return f"{slowest / 60:.0f} minutes" if slowest < 7200 else f"{slowest / 3600:.0f} hours"


def submit_description(offer: Offer, group_ratio: Decimal, asks_with: str | None, *, conversation: bool = True) -> str:
    """The description of the tool that submits and does not wait."""
    then = f"Call {asks_with} with that task_id for the video" if asks_with else "The video can be had by it"
    return (
        f"{_summary(offer, conversation=conversation)}{_always_on(offer)} "
        f"{_price_list(offer, group_ratio)} It starts the video and returns at "
        f"once with a task_id; the video takes up to {_max_wait(offer)}. {then}. Call it once for each video that is "
        "wanted, and never again for one that was started: that would be paid for twice."
    )


def description(offer: Offer, group_ratio: Decimal, asks_with: str | None = None, *, conversation: bool = True) -> str:
    """The description of the tool that waits.

    It says when to call the tool, what it costs, how long it takes, and what to do with its result.

    Args:
        offer: The model, as the gateway serves it.
        group_ratio: The factor on the prices.
        asks_with: The name of the agent's tool that looks at a task; `None`: it has none.
        conversation: Whether the tool can read the conversation.
    """
    late = f" If the time is over first, go on with {asks_with}; never start it again." if asks_with else ""
    return (
        f"{_summary(offer, conversation=conversation)}{_always_on(offer)} "
        f"{_price_list(offer, group_ratio)} Call it once for each video "
        f"that is wanted. It returns when the video is ready, after up to {_max_wait(offer)}, with JSON: "
        f"url (works for 24 hours), cost_usd, duration, resolution, task_id.{late} If it answers with an error, do "
        "what the error says. When money may have been spent, do not call it again for the same video unless the "
        "error itself tells you to."
    )
