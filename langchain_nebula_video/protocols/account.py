"""Free questions about a key and its account, and the log of what it paid for. They cost nothing.

Sources: the Nebula gateway's published code, 2025-12 (router/api-router.go, controller/token.go, controller/log.go,
controller/pricing.go, model/log.go), and newer versions of the same program, 2026. Others are told to document
`GET /v1/models` alone. For DashScope: Alibaba's page on asynchronous tasks, 2025-12.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from langchain_nebula_video.protocols import values
from langchain_nebula_video.protocols.wire import Charge, Extensions, KeyFacts, Reply, WireRequest

__all__ = ["DashScopeAccount", "ModelList", "NewApiAccount"]

UNITS_PER_USD = Decimal(500_000)
"""The gateway counts money in units. An operator can change how many a dollar has; its status tells."""
_PAID, _REFUNDED = 2, 6
"""Types of a log row. Newer versions charge a task at its submit, and give back what it did not cost."""
_MAX_MODELS = 10_000
_MAX_UNITS = Decimal(10) ** 15
_NEVER = (-1, 0)
"""What the gateway writes as the end of a key that does not expire."""


class ModelList:
    """The calls of a gateway of which only the list of models is documented."""

    def build_key_check(self, now: datetime) -> WireRequest:  # noqa: ARG002 DashScope needs it
        """See `AccountCalls`."""
        return WireRequest("GET", "/v1/models")

    def parse_models(self, reply: Reply) -> frozenset[str] | None:
        """See `AccountCalls`."""
        rows = values.get_value(reply.json, "data")
        if not isinstance(rows, list):
            return None
        return frozenset(name for row in rows[:_MAX_MODELS] if (name := values.get_text(row, "id")))

    def build_key_facts(self) -> WireRequest | None:
        """See `AccountCalls`."""
        return None

    def parse_key_facts(self, reply: Reply, units_per_usd: Decimal) -> KeyFacts | None:  # noqa: ARG002
        """See `AccountCalls`."""
        return None

    def build_site(self) -> WireRequest | None:
        """See `AccountCalls`."""
        return None

    def parse_units(self, reply: Reply | None) -> Decimal:  # noqa: ARG002
        """See `AccountCalls`."""
        return UNITS_PER_USD

    def build_group_ratios(self) -> WireRequest | None:
        """See `AccountCalls`."""
        return None

    def parse_group_ratios(self, reply: Reply) -> dict[str, Decimal] | None:  # noqa: ARG002
        """See `AccountCalls`."""
        return None

    def build_log(self, *, key_in_address: bool) -> WireRequest | None:  # noqa: ARG002
        """See `AccountCalls`."""
        return None

    def parse_log(self, reply: Reply, units_per_usd: Decimal) -> list[Charge] | None:  # noqa: ARG002
        """See `AccountCalls`."""
        return None


class NewApiAccount(ModelList):
    """The calls of Nebula and of the program that it is a fork of."""

    def build_key_facts(self) -> WireRequest | None:
        """See `AccountCalls`."""
        return WireRequest("GET", "/api/usage/token/")

    def parse_key_facts(self, reply: Reply, units_per_usd: Decimal) -> KeyFacts | None:
        """See `AccountCalls`."""
        data = values.get_value(reply.json, "data")
        if not isinstance(data, Mapping):
            return None
        limited, unlimited = data.get("model_limits_enabled"), data.get("unlimited_quota")
        names = data.get("model_limits")
        listed = names if isinstance(names, Mapping | list) else ()
        end, left = data.get("expires_at"), _get_units(data, "total_available")
        expires = None if end is None else end not in _NEVER
        return KeyFacts(
            has_model_list=limited if isinstance(limited, bool) else None,
            model_list=frozenset(str(name) for name in listed) if limited is True else None,
            expires_at=values.find_time(data, "expires_at") if expires else None,
            expires=expires,
            unlimited=unlimited if isinstance(unlimited, bool) else None,
            left_usd=None if left is None else left / units_per_usd,
        )

    def build_site(self) -> WireRequest | None:
        """See `AccountCalls`."""
        return WireRequest("GET", "/api/status")

    def parse_units(self, reply: Reply | None) -> Decimal:
        """See `AccountCalls`."""
        if reply is None:
            return UNITS_PER_USD
        return values.get_decimal(reply.json, "data.quota_per_unit") or UNITS_PER_USD

    def build_group_ratios(self) -> WireRequest | None:
        """See `AccountCalls`."""
        return WireRequest("GET", "/api/pricing")

    def parse_group_ratios(self, reply: Reply) -> dict[str, Decimal] | None:
        """See `AccountCalls`."""
        ratios = values.get_value(reply.json, "group_ratio")
        if not isinstance(ratios, Mapping):
            return None
        return {str(name): ratio for name in ratios if (ratio := values.get_decimal({"r": ratios[name]}, "r"))}

    def build_log(self, *, key_in_address: bool) -> WireRequest | None:
        """See `AccountCalls`."""
        return WireRequest("GET", "/api/log/token", key_parameter="key" if key_in_address else None)

    def parse_log(self, reply: Reply, units_per_usd: Decimal) -> list[Charge] | None:
        """See `AccountCalls`."""
        body = reply.json
        rows = values.get_value(body, "data")
        if rows is None and values.get_value(body, "success") is True:  # Go's empty list
            return []
        if not isinstance(rows, list):
            return None
        return _sum_up(filter(None, map(_parse_row, rows)), units_per_usd)


def _get_units(body: object, path: str) -> Decimal | None:
    """Return an amount in the gateway's units, of which a dollar has many."""
    value = values.get_value(body, path)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    amount = Decimal(str(value))
    return amount if amount.is_finite() and abs(amount) < _MAX_UNITS else None


def _parse_row(row: Any) -> Charge | None:
    """Return a row of the log about a task, with its amount in units; `None`: it is about something else."""
    kind, units = values.get_value(row, "type"), _get_units(row, "quota")
    charged_at, other = values.find_time(row, "created_at"), values.get_value(row, "other")
    if isinstance(other, str):
        other = values.parse_json_object(other.encode("utf-8", "replace"))
    task_id = values.get_text(other, "task_id")
    if not task_id or charged_at is None or units is None or kind not in (None, _PAID, _REFUNDED):
        return None
    ratio, discount = values.get_decimal(other, "group_ratio"), values.get_decimal(other, "oem_user_discount")
    return Charge(
        task_id=task_id,
        charged_at=charged_at,
        amount_usd=-units if kind == _REFUNDED else units,
        model=values.get_text(row, "model_name"),
        seconds=values.as_positive(values.get_value(other, "video_seconds")),
        resolution=_parse_resolution(other),
        group_ratio=None if ratio is None else _tidy(ratio * (discount or 1)),
    )


def _tidy(number: Decimal) -> Decimal:
    """Return a number without zeros at its end: 0.80 is 0.8, and 10 stays 10."""
    return Decimal(f"{number.normalize():f}")


def _parse_resolution(other: object) -> str | None:
    text = values.get_text(other, "video_resolution")
    return None if text is None else f"{text.lower().removesuffix('p')}p"


def _sum_up(rows: Iterable[Charge], units_per_usd: Decimal) -> list[Charge]:
    """Return one charge for each task: a gateway may charge a task twice, and may give some of it back."""
    groups: dict[str, list[Charge]] = {}
    for row in sorted(rows, key=lambda row: row.charged_at):
        groups.setdefault(row.task_id, []).append(row)
    return [
        Charge(
            task_id=task_id,
            charged_at=found[0].charged_at,
            amount_usd=max(sum((row.amount_usd for row in found), Decimal(0)), Decimal(0)) / units_per_usd,
            times=sum(row.amount_usd > 0 for row in found),
            **{name: next((value for row in found if (value := getattr(row, name)) is not None), None)
               for name in ("model", "seconds", "resolution", "group_ratio")},
        )
        for task_id, found in groups.items()
    ]  # fmt: skip


class DashScopeAccount(ModelList):
    """DashScope documents no question about a key. The list of tasks of one minute is free, and needs the key.

    Args:
        tasks: The protocol's extensions.
    """

    def __init__(self, tasks: Extensions) -> None:
        self._tasks = tasks

    def build_key_check(self, now: datetime) -> WireRequest:
        """See `AccountCalls`."""
        return self._tasks.build_list("wan2.5-i2v-preview", now.astimezone(UTC) - timedelta(minutes=1), now, 1)

    def parse_models(self, reply: Reply) -> frozenset[str] | None:  # noqa: ARG002
        """See `AccountCalls`."""
        return None
