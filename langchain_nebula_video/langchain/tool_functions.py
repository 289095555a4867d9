"""The tools as plain Python functions: signature, docstring and JSON schema, for frameworks other than LangChain.

They all read something else: google-adk and autogen the signature of `_run`, smolagents `tool.args`, and most of them
the signature and the docstring of a function.
"""

from __future__ import annotations

import copy
import functools
import inspect
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel

__all__ = ["describe_function", "docstring_of", "plain_properties", "signature_of", "unshare"]

_INJECTED = "runtime"
_Function = TypeVar("_Function", bound=Callable[..., Any])
_Schema = TypeVar("_Schema")
_COPYING: weakref.WeakSet[Callable[..., Any]] = weakref.WeakSet()
"""What `unshare` has made."""


@functools.cache
def signature_of(schema: type[BaseModel]) -> inspect.Signature:
    """The signature that a schema describes: its fields by name, those without a default first."""
    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=inspect.Parameter.empty if field.is_required() else field.get_default(call_default_factory=True),
            annotation=_plain(field.annotation),
        )
        for name, field in schema.model_fields.items()
        if name != _INJECTED
    ]
    parameters.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)
    return inspect.Signature(parameters, return_annotation=str)


def _plain(annotation: Any) -> Any:
    """A choice of one as `str`: frameworks turn it into a `const`, which some models' APIs refuse."""
    return str if get_origin(annotation) is Literal and len(get_args(annotation)) == 1 else annotation


def docstring_of(description: str, schema: type[BaseModel], returns: str) -> str:
    """A docstring in Google's style. Each argument is on one line, since parsers differ in how they join lines."""
    arguments = (schema.model_fields[name].description for name in signature_of(schema).parameters)
    lines = [f"    {name}: {text}" for name, text in zip(signature_of(schema).parameters, arguments, strict=True)]
    return "\n".join([description, "", "Args:", *lines, "", "Returns:", f"    {returns}"])


def describe_function(function: _Function, name: str, doc: str, signature: inspect.Signature) -> _Function:
    """Give a function that takes anything the looks of one that names its arguments."""
    annotations = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    function.__annotations__ = {**annotations, "return": signature.return_annotation}
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


def plain_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the fields of a JSON schema, each with one `type`; optional ones are marked with `nullable`.

    smolagents reads no `anyOf`, and takes a field without `nullable` for a required one.
    """
    return {name: _with_one_type(field) for name, field in copy.deepcopy(dict(properties)).items()}


def _with_one_type(field: dict[str, Any]) -> dict[str, Any]:
    kinds = [kind for kind in field.pop("anyOf", []) if kind.get("type") != "null"]
    for kind in kinds[:1]:
        field |= kind
    return {**field, "nullable": True} if "default" in field else field


def unshare(schema: _Schema) -> _Schema:
    """Let a model class that LangChain keeps return its JSON schema as a copy, since some frameworks write into it."""
    kept: Any = schema
    original = getattr(schema, "model_json_schema", None)
    if original is None or getattr(original, "__func__", None) in _COPYING:
        return schema

    def model_json_schema(cls: type, *args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ARG001 a classmethod
        return copy.deepcopy(cast("dict[str, Any]", original(*args, **kwargs)))

    _COPYING.add(model_json_schema)
    kept.model_json_schema = classmethod(model_json_schema)
    return schema
