"""New models, and models to go on from, for an objective."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmos.core.errors import Unprocessable
from llmos.lab.models.presets import configuration
from llmos.lab.models.quantized import load_options
from llmos.lab.recipes.schema import Model, Recipe

_CONFIGS = {
    "gpt2": "GPT2Config",
    "llama": "LlamaConfig",
    "qwen": "Qwen3Config",
    "bert": "BertConfig",
    "roberta": "RobertaConfig",
    "xlm-roberta": "XLMRobertaConfig",
    "albert": "AlbertConfig",
    "t5": "T5Config",
    "bart": "BartConfig",
}
_AUTO = {
    "clm": "AutoModelForCausalLM",
    "sft": "AutoModelForCausalLM",
    "dpo": "AutoModelForCausalLM",
    "kto": "AutoModelForCausalLM",
    "orpo": "AutoModelForCausalLM",
    "mlm": "AutoModelForMaskedLM",
    "seq2seq": "AutoModelForSeq2SeqLM",
    "summarize": "AutoModelForSeq2SeqLM",
    "translate": "AutoModelForSeq2SeqLM",
    "reward": "AutoModelForSequenceClassification",
    "classify": "AutoModelForSequenceClassification",
    "tag": "AutoModelForTokenClassification",
    "qa": "AutoModelForQuestionAnswering",
}
_LABELLED = ("classify", "tag", "reward")
_T5_EMBEDDINGS = 0.05


class ModelError(Unprocessable):
    """The model cannot be made or loaded as the recipe says."""

    code = "BadModel"


def build_model(recipe: Recipe, tokenizer: Any, labels: list[str], *, where: str | None = None) -> Any:
    """The model a resolved recipe starts from, in single precision on the CPU.

    `where` is the folder the base lies in. Raises ModelError when a field of the configuration is
    wrong, or the base is no model of the kind the objective needs.
    """
    import transformers

    auto = getattr(transformers, _AUTO[recipe.objective])
    extra = _label_fields(recipe, labels)
    if recipe.model.base is not None:
        if recipe.lora and recipe.lora.quantize:
            extra |= load_options()
        return _load(auto, recipe.model, where or recipe.model.base, extra)
    model = _new(auto, _new_config(recipe, tokenizer, extra), recipe)
    model.generation_config = _generation(model, tokenizer) if model.can_generate() else None
    return model


def _label_fields(recipe: Recipe, labels: list[str]) -> dict[str, Any]:
    if recipe.objective == "reward":
        return {"num_labels": 1}
    if recipe.objective not in _LABELLED:
        return {}
    return {"id2label": dict(enumerate(labels)), "label2id": {name: n for n, name in enumerate(labels)}}


def _new_config(recipe: Recipe, tokenizer: Any, extra: dict[str, Any]) -> Any:
    import transformers

    choice, length = recipe.model, recipe.training.sequence_length
    assert choice.family is not None
    assert length is not None
    kind = getattr(transformers, _CONFIGS[choice.family])
    fields: dict[str, Any] = dict(
        configuration(choice.family, choice.preset, vocab_size=len(tokenizer), length=length)
    )
    fields |= {
        name: getattr(tokenizer, name)
        for name in ("pad_token_id", "bos_token_id", "eos_token_id")
        if getattr(tokenizer, name) is not None
    }
    if choice.family in ("t5", "bart"):
        start = tokenizer.bos_token_id if choice.family == "bart" else None
        fields["decoder_start_token_id"] = tokenizer.pad_token_id if start is None else start
        fields["forced_eos_token_id"] = None
    unknown = sorted(set(choice.overrides) - set(kind().to_dict()))
    if unknown:
        raise ModelError(f"model.overrides.{unknown[0]}: a {kind.__name__} has no such field.")
    try:
        return kind(**(fields | choice.overrides | extra))
    except (ValueError, TypeError) as error:
        raise ModelError(f"model.overrides: {error}") from error


def _new(auto: Any, config: Any, recipe: Recipe) -> Any:
    import transformers

    if recipe.denoising.sentence_pairs != "none" and recipe.objective == "mlm":
        name = {"bert": "BertForPreTraining", "albert": "AlbertForPreTraining"}.get(config.model_type)
        if name is None:
            raise ModelError("denoising.sentence_pairs: only bert and albert have this objective.")
        return getattr(transformers, name)(config)
    try:
        model = auto.from_config(config)
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"model: {error}") from error
    if config.model_type == "t5":
        _narrow_embeddings(model)
    return model


def _narrow_embeddings(model: Any) -> None:
    """Let a new T5 begin by knowing nothing.

    Its embeddings are drawn at 1.0: what a layer adds is small beside the token that goes in, and as they
    are the output's, too, the model first says each token again and must unlearn it. Here they are as small
    as in other families, and the decoder's last norm begins with what the output is divided by.
    """
    import torch

    with torch.no_grad():
        model.shared.weight.mul_(_T5_EMBEDDINGS)
        model.decoder.final_layer_norm.weight.fill_(model.config.d_model**0.5)


def _load(auto: Any, choice: Model, where: str, extra: dict[str, Any]) -> Any:
    """Never runs code of a repository, and reads no pickled weights."""
    import torch

    options: dict[str, Any] = {"dtype": torch.float32, "trust_remote_code": False, **extra}
    if choice.gguf_file:
        options["gguf_file"] = choice.gguf_file
    else:
        options["use_safetensors"] = True
    if "id2label" in extra or "num_labels" in extra:
        options["ignore_mismatched_sizes"] = True
    if choice.revision and not Path(where).is_dir():
        options["revision"] = choice.revision
    try:
        model = auto.from_pretrained(where, **options)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"model.base: {choice.base} cannot be loaded: {error}") from error
    if choice.gguf_file:
        # What was dequantised is an ordinary model: saved with this field it would be refused.
        model.config.__dict__.pop("quantization_config", None)
        model.is_quantized = False
        model = model.float() if not hasattr(model, "hf_quantizer") else _unquantised(model)
    return model


def _unquantised(model: Any) -> Any:
    for field in ("hf_quantizer", "quantization_method"):
        model.__dict__.pop(field, None)
    return model


def _generation(model: Any, tokenizer: Any) -> Any:
    from transformers import GenerationConfig

    config = GenerationConfig.from_model_config(model.config)
    config.max_new_tokens = 128
    config.pad_token_id = tokenizer.pad_token_id
    return config


def count_parameters(model: Any) -> tuple[int, int]:
    """All parameters, tied ones once, and those that are trained."""
    total = sum(_size(p) for p in model.parameters())
    return total, sum(p.numel() for p in model.parameters() if p.requires_grad)


def _size(parameter: Any) -> int:
    """Numbers of a parameter; in four bits two share a byte."""
    state = getattr(parameter, "quant_state", None)
    count: int = parameter.numel() if state is None else state.shape.numel()
    return count
