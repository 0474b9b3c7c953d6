"""A tool whose results are vetted before its own callbacks see them."""

from __future__ import annotations

import functools
from typing import Any

from langchain_core.tools import BaseTool

from fmops.guardrails.seals import Seals
from fmops.guardrails.types import Direction
from fmops.guardrails.vetting import Vetting

_RAISED = (Exception, BaseExceptionGroup)


def guarded(tool: BaseTool, vetting: Vetting, seals: Seals | None = None) -> BaseTool:
    """A copy of ``tool`` that vets what it returns, and all that hangs on what it raises, interrupts included.

    With ``seals``, text that it returns is sealed instead, to be checked while the model reads it.

    LangChain tells callbacks of a tool's result before any middleware gets it: the check has to be within the tool.
    """
    run, arun = tool._run, tool._arun

    # An error is raised outside of the clause that caught it: as its context, the original would go on with it.

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

    copy = tool.model_copy()
    # Methods that pydantic would not let a copy have: they hide the class's.
    object.__setattr__(copy, "_run", vetted_run)
    object.__setattr__(copy, "_arun", vetted_arun)
    return copy
