"""A chat model whose input and output are checked, on every way in and out that LangChain has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models._utils import _normalize_messages
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool
from langchain_core.tracers._streaming import _StreamingCallbackHandler, _V2StreamingCallbackHandler
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field
from typing_extensions import override

from fmops.guardrails.engine import GuardrailEngine
from fmops.guardrails.flow import Flow, StreamFlow, WholeFlow, as_chunk, flow_sync, listener
from fmops.guardrails.types import Direction
from fmops.guardrails.vetting import Vetting

_VETTED = "fmops_vetted"
"""Key that marks, within a call, that its input was checked; it carries the model call that began meanwhile.
"""


_ANSWERS = "fmops_answers"
"""Key that names, within a bound call, the tools whose calls are structured answers."""

_LANGCHAINS_OWN = ("tags", "metadata", "run_name", "run_id")
"""Arguments of ``agenerate`` that a model's own methods do not take; a strict model refuses them."""


class GuardedChatModel(BaseChatModel):
    """Wrap ``model``: its input is vetted before any callback sees it, and its output before anything else
    does.

    The wrapped model is called without callbacks: tracers see this model, with the wrapped model's name and
    parameters, and only vetted content. Raises ``GuardrailBlocked``. With the engine's ``speculative`` setting,
    the model call begins while its input is being checked. Nothing of it is released before the verdict; a
    block cancels it, and after a redaction it begins again with the redacted input.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())

    model: BaseChatModel
    engine: GuardrailEngine = Field(exclude=True, repr=False)

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        for name in ("callbacks", "tags", "metadata", "rate_limiter", "profile", "output_version"):
            if getattr(self, name) is None:
                setattr(self, name, getattr(self.model, name))
        self.disable_streaming = self.disable_streaming or self.model.disable_streaming

    # Questions of tracers and agents about the model are answered by the wrapped one.

    @property
    def _llm_type(self) -> str:
        return self.model._llm_type

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return {**self.model._identifying_params, "guardrails": self.engine.settings.model_dump_json()}

    @property
    def model_name(self) -> str:
        """Return the wrapped model's name or id."""
        names = (getattr(self.model, name, None) for name in ("model_name", "model", "model_id"))
        return next((name for name in names if isinstance(name, str)), type(self.model).__name__)

    @cached_property
    def _serialized(self) -> dict[str, Any]:
        return self.model._serialized

    @override
    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        return self.model._get_invocation_params(stop=stop, **_without_mark(kwargs))

    @override
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return self.model._get_ls_params(stop=stop, **_without_mark(kwargs))

    @override
    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        return f"{self._identifying_params}---{super()._get_llm_string(stop=stop, **_without_mark(kwargs))}"

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Any = None) -> int:
        return self.model.get_num_tokens_from_messages(messages, tools)

    @override
    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        bound = self.model.bind_tools(tools, **kwargs)
        answers = {_ANSWERS: names} if (names := _answers(tools, kwargs)) else {}
        if isinstance(bound, RunnableBinding) and bound.bound is self.model:
            return self.bind(**bound.kwargs, **answers)
        if isinstance(bound, BaseChatModel):
            copy = self.model_copy(update={"model": bound})
            return copy.bind(**answers) if answers else copy
        raise TypeError(
            f"{type(self.model).__name__}.bind_tools returns a {type(bound).__name__}, whose calls cannot be guarded:"
            " bind the tools to a model whose bind_tools returns a binding of itself"
        )

    # Ways in: the input is vetted before LangChain's own methods pass it to any callback.

    @override
    async def agenerate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Any = None,
        **kwargs: Any,
    ) -> LLMResult:
        if _VETTED in kwargs:
            return await super().agenerate(messages, stop, callbacks, **kwargs)
        flow = None
        if len(messages) == 1:
            streams = listener.get() is not None or _wants_stream(callbacks, self.callbacks)
            vetted, flow = await self._prepared(messages[0], stop, kwargs, stream=streams)
            messages = [vetted]
        else:
            messages = list(await asyncio.gather(*map(self._ainput, messages)))
        try:
            return await super().agenerate(messages, stop, callbacks, **{**kwargs, _VETTED: flow})
        finally:
            if flow:
                await flow.cancel()

    @override
    def generate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Any = None,
        **kwargs: Any,
    ) -> LLMResult:
        if _VETTED not in kwargs:
            messages = [self._input(each) for each in messages]
        return super().generate(messages, stop, callbacks, **{**kwargs, _VETTED: None})

    @override
    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        messages, flow = await self._prepared(
            self._convert_input(input).to_messages(), stop, kwargs, stream=True
        )
        try:
            async for chunk in super().astream(messages, config, stop=stop, **{**kwargs, _VETTED: flow}):
                yield chunk
        finally:
            await flow.cancel()

    @override
    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        messages = self._input(self._convert_input(input).to_messages())
        yield from super().stream(messages, config, stop=stop, **{**kwargs, _VETTED: None})

    @override
    async def _achat_model_stream_v3(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Any:
        messages = await self._ainput(self._convert_input(input).to_messages())
        return await super()._achat_model_stream_v3(messages, config, stop=stop, **{**kwargs, _VETTED: None})

    @override
    def _chat_model_stream_v3(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Any:
        messages = self._input(self._convert_input(input).to_messages())
        return super()._chat_model_stream_v3(messages, config, stop=stop, **{**kwargs, _VETTED: None})

    # Ways out: called by LangChain's own methods, which pass to callbacks what these return.

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        flow = await self._begun(messages, stop, kwargs, stream=listener.get() is not None)
        try:
            return await flow.result()
        finally:
            await flow.cancel()

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        messages = self._unless_vetted(messages, kwargs)
        vetting = Vetting(self.engine)
        try:
            result = self.model._generate(messages, stop=stop, **_without_mark(kwargs))
        except Exception as error:  # noqa: BLE001 - raised again outside, lest the original go on as its context
            raised = vetting.error_sync(error, Direction.OUTPUT)
        else:
            return vetting.chat_result_sync(result, kwargs.get(_ANSWERS, frozenset()))
        raise raised

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        flow = await self._begun(messages, stop, kwargs, stream=True)
        try:
            async for chunk in flow.chunks():
                yield chunk
        finally:
            await flow.cancel()

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        messages = self._unless_vetted(messages, kwargs)
        if _implements(self.model, "_stream"):
            source = self.model._stream(messages, stop=stop, **_without_mark(kwargs))
            yield from flow_sync(self.engine, source, kwargs.get(_ANSWERS, frozenset()))
        else:
            for generation in self._generate(messages, stop, **{**kwargs, _VETTED: None}).generations:
                yield as_chunk(generation)

    # Shared by both directions.

    @property
    def _quiet(self) -> Vetting:
        """Return the vetting of input, which another layer may have checked and reported before."""
        return Vetting(self.engine, observe=False)

    def _opened(self, messages: list[BaseMessage]) -> list[BaseMessage]:
        return [self.engine.seals.open(message) for message in messages]

    def _settle(self, given: list[BaseMessage], vetted: list[BaseMessage]) -> None:
        for before, after in zip(given, vetted, strict=True):
            self.engine.seals.settle(before, after)

    def _input(self, messages: list[BaseMessage]) -> list[BaseMessage]:
        vetted = self._quiet.messages_sync(self._opened(messages))
        self._settle(messages, vetted)
        return vetted

    async def _ainput(self, messages: list[BaseMessage]) -> list[BaseMessage]:
        vetted = await self._quiet.messages(self._opened(messages))
        self._settle(messages, vetted)
        return vetted

    def _unless_vetted(self, messages: list[BaseMessage], kwargs: Mapping[str, Any]) -> list[BaseMessage]:
        return messages if _VETTED in kwargs else self._input(messages)

    async def _prepared(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        kwargs: Mapping[str, Any],
        *,
        stream: bool,
    ) -> tuple[list[BaseMessage], Flow]:
        """Return the vetted input and its call, which has already begun if that is allowed and the input is
        unchanged."""
        given, messages = messages, self._opened(messages)
        flow: Flow | None = None
        if self.engine.settings.speculative and not self.rate_limiter:
            flow = self._call(_normalize_messages(messages), stop, kwargs, stream=stream)
            flow.begin()
        try:
            vetted = await self._quiet.messages(messages)
        except BaseException:
            if flow:
                await flow.cancel()
            raise
        if flow and any(new is not old for new, old in zip(vetted, messages, strict=True)):
            await flow.cancel()
            flow = None
        self._settle(given, vetted)
        return vetted, flow or self._call(_normalize_messages(vetted), stop, kwargs, stream=stream)

    async def _begun(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any], *, stream: bool
    ) -> Flow:
        """Return the model call that began while the input was checked, or one that begins now."""
        if _VETTED not in kwargs:
            messages = await self._ainput(messages)
        flow: Flow | None = kwargs.get(_VETTED)
        return flow or self._call(messages, stop, kwargs, stream=stream)

    def _call(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any], *, stream: bool
    ) -> Flow:
        # The wrapped model's own methods, below callbacks: through its public ones, tracers would see raw text.
        given, answers = _without_mark(kwargs), kwargs.get(_ANSWERS, frozenset())
        streams = _implements(self.model, "_stream") or _implements(self.model, "_astream")
        if stream and streams and not self.model._streaming_disabled(**given):
            return StreamFlow(self.engine, self.model._astream(messages, stop=stop, **given), answers)
        return WholeFlow(self.engine, self.model._agenerate(messages, stop=stop, **given), answers)


def _without_mark(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments meant for the model, without our marks and those that LangChain's own methods
    consume.
    """
    return {
        name: value for name, value in kwargs.items() if name not in (_VETTED, _ANSWERS, *_LANGCHAINS_OWN)
    }


def _answers(tools: Sequence[Any], kwargs: Mapping[str, Any]) -> frozenset[str]:
    """Return the tools that stand for the form of an answer: LangChain's structured output, in a chain and in
    an agent."""
    is_form = "ls_structured_output_format" in kwargs
    return frozenset(
        convert_to_openai_tool(each)["function"]["name"]
        for each in tools
        if is_form or (isinstance(each, StructuredTool) and each.func is None and each.coroutine is None)
    )


def _implements(model: BaseChatModel, method: str) -> bool:
    return getattr(type(model), method) is not getattr(BaseChatModel, method)


def _wants_stream(*callbacks: Any) -> bool:
    """Return whether LangChain will ask for a stream for a handler's sake, although the caller asked for the
    whole."""
    handlers = [
        handler
        for each in callbacks
        for handler in (each if isinstance(each, list) else getattr(each, "handlers", None) or ())
    ]
    return any(
        isinstance(handler, _StreamingCallbackHandler | _V2StreamingCallbackHandler) for handler in handlers
    )
