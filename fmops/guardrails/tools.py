"""A tool whose results are vetted before its own callbacks see them."""

from __future__ import annotations

import functools
from typing import Any

from langchain_core.tools import BaseTool, ToolException
from langgraph.errors import GraphBubbleUp

from fmops.guardrails.seals import Seals
from fmops.guardrails.types import GuardrailBlocked
from fmops.guardrails.vetting import Vetting


def guarded(tool: BaseTool, vetting: Vetting, seals: Seals | None = None) -> BaseTool:
    """A copy of ``tool`` that vets what it returns, and the words of what it raises.

    With ``seals``, text that it returns is sealed instead, to be checked while the model reads it.

    LangChain tells callbacks of a tool's result before any middleware gets it: the check has to be within the tool.
    """
    run, arun = tool._run, tool._arun

    @functools.wraps(run)
    def vetted_run(*args: Any, **kwargs: Any) -> Any:
        try:
            result = run(*args, **kwargs)
        except GraphBubbleUp:
            raise
        except Exception as error:  # noqa: BLE001 - raised again
            raise _told(error, vetting.result_sync(str(error))) from None
        return seals.seal(result) if seals and isinstance(result, str) else vetting.result_sync(result)

    @functools.wraps(arun)
    async def vetted_arun(*args: Any, **kwargs: Any) -> Any:
        try:
            result = await arun(*args, **kwargs)
        except GraphBubbleUp:
            raise
        except Exception as error:  # noqa: BLE001 - raised again
            raise _told(error, await vetting.result(str(error))) from None
        return seals.seal(result) if seals and isinstance(result, str) else await vetting.result(result)

    copy = tool.model_copy()
    # Methods that pydantic would not let a copy have: they hide the class's.
    object.__setattr__(copy, "_run", vetted_run)
    object.__setattr__(copy, "_arun", vetted_arun)
    return copy


def _told(error: Exception, words: str) -> Exception:
    """The error itself when there was nothing in its words, else one with the vetted words."""
    if words == str(error) or isinstance(error, GuardrailBlocked):
        return error
    return ToolException(words)
