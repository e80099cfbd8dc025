"""A folder becomes a model that can be asked, or a reason why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from llmos.lab.evaluate.engines.base import EngineError
from llmos.lab.models.positions import longest_row
from llmos.lab.serve.errors import CallError, CannotServe
from llmos.lab.serve.llama import LlamaBatch, LlamaModel
from llmos.lab.serve.prompts import Prompts
from llmos.lab.serve.sizing import check_memory, check_needed, choose_sizes
from llmos.lab.serve.text import Spelling
from llmos.wire.serving import EngineSpec

# What chats end a turn with, where a model's configuration forgets to say so.
_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|endofturn|>", "<|eom_id|>")
_LLAMA_CELLS, _LLAMA_STREAMS = 16_384, 16
# By how architectures are named, what loads them; the first that fits.
_KINDS = {
    "ForCausalLM": "AutoModelForCausalLM",
    "LMHeadModel": "AutoModelForCausalLM",
    "ForConditionalGeneration": "AutoModelForSeq2SeqLM",
    "MTModel": "AutoModelForSeq2SeqLM",
    "MarianModel": "AutoModelForSeq2SeqLM",
    "ForMaskedLM": "AutoModelForMaskedLM",
    "ForSequenceClassification": "AutoModelForSequenceClassification",
    "ForTokenClassification": "AutoModelForTokenClassification",
    "ForQuestionAnswering": "AutoModelForQuestionAnswering",
}


@dataclass
class Loaded:
    """A model, its tokenizer, and what follows from both. `kind` is the class that loaded it."""

    model: Any
    tokenizer: Any
    context_tokens: int
    # "llama.cpp" for a GGUF file that is read by it; `model` is then no torch model.
    kind: str = "AutoModelForCausalLM"
    weights_bytes: int = 0

    @property
    def is_writer(self) -> bool:
        """Whether it has an encoder for the prompt and a decoder for the answer."""
        return self.kind == "AutoModelForSeq2SeqLM"

    @cached_property
    def prompts(self) -> Prompts:
        return Prompts(self.tokenizer)

    @cached_property
    def spelling(self) -> Spelling:
        return Spelling(self.tokenizer)

    @cached_property
    def ends(self) -> frozenset[int]:
        config = getattr(self.model, "generation_config", None)
        found = [self.tokenizer.eos_token_id, getattr(config, "eos_token_id", None)]
        flat = [x for entry in found for x in (entry if isinstance(entry, list) else [entry])]
        return frozenset(int(token) for token in flat if token is not None)

    @cached_property
    def chat_ends(self) -> frozenset[int]:
        words = self.tokenizer.get_vocab()
        named = {words[name] for name in _TURN_ENDS if name in words and name in self.prompts.template}
        return self.ends | named

    @cached_property
    def vocabulary(self) -> int:
        return int(self.model.get_input_embeddings().weight.shape[0])

    @property
    def begin(self) -> int:
        for token in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, self.tokenizer.cls_token_id):
            if token is not None:
                return int(token)
        return 0

    def checked_ids(self, field: str, ids: list[int]) -> list[int]:
        """Raises CallError for a number that is no token."""
        for place, token in enumerate(ids):
            if not 0 <= token < self.vocabulary:
                raise CallError(
                    f"{field}[{place}] is {token}, and this model's tokens are 0 to {self.vocabulary - 1}.",
                    param=field,
                )
        return ids


def load(folder: Path, spec: EngineSpec, say: Callable[[float], None], *, base: Path | None = None) -> Loaded:
    """Tokenizer and model of a folder; of `base` with what `folder` changes, if that is an adapter.

    Raises CannotServe.
    """
    from llmos.lab.evaluate.engines.loading import load_model, load_tokenizer, max_length_of
    from llmos.lab.serve.adapters import apply_adapter, is_adapter
    from llmos.lab.train.device import pick_device

    own = folder if is_adapter(folder) else None
    if own is not None:
        if base is None:
            raise CannotServe("This is an adapter: name the folder of its base.", code="no_base")
        folder = base
    file = _gguf(folder, spec)
    try:
        config = _config(folder, file)
        kind = kind_of(folder, config, file)
        device = pick_device()
        dtype = spec.dtype if spec.dtype != "auto" else _dtype(config, device)
        weights = check_memory(folder, config, dtype, device, file=file)
        words = own if own is not None and (own / "tokenizer_config.json").is_file() else folder
        tokenizer = load_tokenizer(words) if file is None else _gguf_tokenizer(folder, file)
        say(0.2)
        if file is None:
            model = load_model(folder, dtype=dtype, device=device, kind=kind)
        else:
            model = _gguf_model(folder, file, dtype, device)
        if own is not None:
            apply_adapter(model, own)
    except EngineError as error:
        raise CannotServe(error.message, code="not_servable") from error
    model.requires_grad_(False)
    longest = max_length_of(model, tokenizer)
    longest = min(longest, longest_row(model) or longest)
    if spec.max_context_tokens:
        longest = min(longest, spec.max_context_tokens)
    say(1.0)
    return Loaded(model, tokenizer, longest, kind, weights)


def load_llama(folder: Path, spec: EngineSpec, free_bytes: int) -> tuple[Loaded, LlamaModel, LlamaBatch]:
    """A GGUF file for llama.cpp, with the words transformers finds in it. Raises CannotServe."""
    file = _gguf(folder, spec)
    if file is None:
        raise CannotServe("There is no GGUF file in this revision.", code="no_weights")
    model, weights = LlamaModel(folder / file), (folder / file).stat().st_size
    check_needed("llama.cpp", weights, model.cell_bytes, "weights as they are packed")
    tokenizer = _gguf_tokenizer(folder, file)
    longest = min(model.longest, spec.max_context_tokens or model.longest)
    free = max(free_bytes - weights, 0)
    sizes = choose_sizes(spec, cell=model.cell_bytes, weights=weights, longest=longest, free=free)
    # All of the cache is taken at the start, so it is no larger than is of use on processors.
    cells = max(min(sizes.cells, _LLAMA_CELLS), sizes.context)
    streams = min(sizes.streams, spec.max_streams or _LLAMA_STREAMS)
    most = sizes.batch_tokens
    model.begin(streams=streams, cells=cells, most_tokens=most, threads=torch.get_num_threads())
    if model.vocabulary < len(tokenizer):
        raise CannotServe(f"The words in {file} are more than its weights know.", code="bad_weights")
    config = SimpleNamespace(model_type="gguf", id2label={})
    told = SimpleNamespace(config=config, generation_config=None, device="cpu")
    loaded = Loaded(told, tokenizer, sizes.context, "llama.cpp", weights)
    loaded.vocabulary = model.vocabulary
    return loaded, model, LlamaBatch(model, streams=streams, cells=cells, most_tokens=most)


def kind_of(folder: Path, config: Any, file: str | None = None) -> str:
    """The class of transformers that loads this model; AutoModel for one without a head."""
    if file is not None:
        return "AutoModelForCausalLM"
    if (folder / "modules.json").is_file():
        return "AutoModel"
    for name in getattr(config, "architectures", None) or ():
        for end, kind in _KINDS.items():
            if name.endswith(end):
                return kind
    return "AutoModel"


def _config(folder: Path, file: str | None) -> Any:
    from transformers import AutoConfig

    extra = {"gguf_file": file} if file else {}
    try:
        return AutoConfig.from_pretrained(str(folder), trust_remote_code=False, **extra)
    except (OSError, ValueError, KeyError, ImportError) as error:
        name = ""
        if (folder / "config.json").is_file():
            try:
                name = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type", "")
            except ValueError:
                name = "unreadable"
        raise CannotServe(
            f"config.json does not name an architecture this engine knows ({name or 'none'}).",
            code="unknown_architecture",
        ) from error


def _dtype(config: Any, device: str) -> str:
    """Single precision on processors, else what the weights are stored in."""
    if device == "cpu":
        return "float32"
    return str(getattr(config, "dtype", None) or "float32").removeprefix("torch.")


def _gguf(folder: Path, spec: EngineSpec) -> str | None:
    """The GGUF file to read, where the folder holds no safetensors or one is named."""
    if spec.file:
        if "/" in spec.file or not (folder / spec.file).is_file():
            raise CannotServe(f"There is no file {spec.file} in this revision.", code="no_weights")
        return spec.file if spec.file.endswith(".gguf") else None
    if any(folder.glob("*.safetensors")):
        return None
    names = sorted(path.name for path in folder.glob("*.gguf"))
    return names[0] if names else None


def _gguf_tokenizer(folder: Path, file: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(folder), gguf_file=file, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError, AttributeError) as error:
        raise CannotServe(f"The tokenizer in {file} cannot be read: {error}", code="bad_weights") from error


def _gguf_model(folder: Path, file: str, dtype: str, device: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            str(folder), gguf_file=file, dtype=getattr(torch, dtype), trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError) as error:
        raise CannotServe(f"{file} cannot be read: {error}", code="bad_weights") from error
    return model.to(device).eval()
