"""A tool whose results are vetted before its own callbacks see them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, get_type_hints

from langchain_core.tools import BaseTool

from fmops.guardrails.seals import Seals
from fmops.guardrails.types import Direction
from fmops.guardrails.vetting import Vetting

_RAISED = (Exception, BaseExceptionGroup)


def guarded(tool: BaseTool, vetting: Vetting, seals: Seals | None = None) -> BaseTool:
    """Return a copy of ``tool`` that vets its results, and everything attached to the errors that it raises,
    even interrupts.

    With ``seals``, its text results are sealed instead, to be checked while the model reads them.

    The check is within the tool because LangChain passes a tool's result to callbacks before any middleware
    gets it.
    """
    run, arun = tool._run, tool._arun

    # An error is raised outside the clause that caught the original, which would otherwise go along as its
    # context.

    @functools.wraps(run)
    def vetted_run(*args: Any, **kwargs: Any) -> Any:
        try:
            result = run(*args, **kwargs)
        except _RAISED as error:
            raised = vetting.error_sync(error, Direction.TOOL_RESULTS)
        else:
            return seals.seal(result) if seals and isinstance(result, str) else vetting.result_sync(result)
        raise raised

    @functools.wraps(arun)
    async def vetted_arun(*args: Any, **kwargs: Any) -> Any:
        try:
            result = await arun(*args, **kwargs)
        except _RAISED as error:
            raised = await vetting.error(error, Direction.TOOL_RESULTS)
        else:
            return seals.seal(result) if seals and isinstance(result, str) else await vetting.result(result)
        raise raised

    for vetted, original in ((vetted_run, run), (vetted_arun, arun)):
        vetted.__annotations__ = _resolved(original)
    copy = tool.model_copy()
    # Set this way because pydantic would not allow these methods on a copy; they hide the class's.
    object.__setattr__(copy, "_run", vetted_run)
    object.__setattr__(copy, "_arun", vetted_arun)
    return copy


def _resolved(method: Callable[..., Any]) -> dict[str, Any]:
    """Return the type hints of a tool's method as types: LangChain reads them at each call, and compiles strings."""
    try:
        return get_type_hints(method)
    except Exception:  # noqa: BLE001 - names that cannot be resolved stay strings, as LangChain expects
        return dict(getattr(method, "__annotations__", {}))
