"""torch and transformers in half the time: what serving never uses is left out while they are imported.

transformers loads scipy, scikit-learn and accelerate because they are installed, and torch's compiler
for a few decorators. An engine compiles nothing, and whoever waits for its first word waits for
all of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_UNUSED = ("scipy", "accelerate", "sklearn", "torch_distributed")
_COMPILER = "torch._dynamo"
_TRACED = f"{_COMPILER}._trace_wrapped_higher_order_op"


@contextmanager
def lean() -> Iterator[None]:
    """Import, load and warm a model within. For processes that serve and do nothing else.

    Changes nothing where transformers or the compiler is there already.
    """
    import torch  # noqa: F401  # Before its compiler is replaced.

    if _COMPILER in sys.modules or "transformers.modeling_utils" in sys.modules:
        yield
        return
    _hide()
    with _without_compiler():
        yield


def _hide() -> None:
    """transformers is told that these are not installed, for good: it must not find half of them later."""
    import transformers.utils
    from transformers.utils import import_utils

    for module in (import_utils, transformers.utils):
        for name in (f"is_{package}_available" for package in _UNUSED):
            if hasattr(module, name):
                setattr(module, name, _never)


@contextmanager
def _without_compiler() -> Iterator[None]:
    """Its decorators change nothing, for as long as nobody compiles."""
    import torch

    usual = torch.compiler.disable
    compiler, traced = ModuleType(_COMPILER), ModuleType(_TRACED)
    compiler.__path__ = []
    compiler.__getattr__ = lambda name: _as_it_is  # type: ignore[method-assign]
    traced.TransformGetItemToIndex = _TransformLater  # type: ignore[attr-defined]
    sys.modules |= {_COMPILER: compiler, _TRACED: traced}
    torch._dynamo = compiler
    torch.compiler.disable = _disable  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.compiler.disable = usual
        for name in (_COMPILER, _TRACED):
            sys.modules.pop(name, None)
        vars(torch).pop("_dynamo", None)


class _TransformLater:
    """`TransformGetItemToIndex` of torch, imported when a mask first needs it."""

    def __enter__(self) -> Any:
        from torch._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex

        self._real: Any = TransformGetItemToIndex()
        return self._real.__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: Any) -> Any:
        return self._real.__exit__(*error)


def _never(*arguments: Any, **named: Any) -> bool:
    return False


def _as_it_is(function: Any = None, *arguments: Any, **named: Any) -> Any:
    return function


def _disable(function: Any = None, recursive: bool = True, **named: Any) -> Any:
    plain: Callable[[Any], Any] = _as_it_is
    return plain if function is None else function
