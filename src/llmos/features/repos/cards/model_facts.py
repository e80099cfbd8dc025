"""What a model is, inferred where its card does not say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmos.features.repos.cards.findings import is_repo_id
from llmos.features.repos.cards.libraries import (
    EXACT_FILES,
    FILE_SUFFIXES,
    FORMAT_FILES,
    FORMAT_SUFFIXES,
    LIBRARIES,
)
from llmos.features.repos.cards.rules import BASE_MODEL_RELATIONS
from llmos.features.repos.cards.tasks import PIPELINE_TAGS
from llmos.features.repos.cards.values import as_map, as_text, as_texts, unique

# Ending of an architecture name -> (pipeline tag, auto class). The first that fits wins.
_ARCHITECTURES: tuple[tuple[str, str, str], ...] = (
    ("ForCausalLM", "text-generation", "AutoModelForCausalLM"),
    ("LMHeadModel", "text-generation", "AutoModelForCausalLM"),
    ("ForMaskedLM", "fill-mask", "AutoModelForMaskedLM"),
    ("ForPreTraining", "", "AutoModelForPreTraining"),
    ("ForSequenceClassification", "text-classification", "AutoModelForSequenceClassification"),
    ("ForTokenClassification", "token-classification", "AutoModelForTokenClassification"),
    (
        "ForVisualQuestionAnswering",
        "visual-question-answering",
        "AutoModelForVisualQuestionAnswering",
    ),
    ("ForQuestionAnswering", "question-answering", "AutoModelForQuestionAnswering"),
    ("ForMultipleChoice", "", "AutoModelForMultipleChoice"),
    ("ForNextSentencePrediction", "", "AutoModelForNextSentencePrediction"),
    ("ForAudioClassification", "audio-classification", "AutoModelForAudioClassification"),
    ("ForCTC", "automatic-speech-recognition", "AutoModelForCTC"),
    ("ForVideoClassification", "video-classification", "AutoModelForVideoClassification"),
    ("ForImageClassification", "image-classification", "AutoModelForImageClassification"),
    ("ForSemanticSegmentation", "image-segmentation", "AutoModelForSemanticSegmentation"),
    ("ForUniversalSegmentation", "image-segmentation", "AutoModelForUniversalSegmentation"),
    ("ForImageSegmentation", "image-segmentation", "AutoModelForImageSegmentation"),
    ("ForDepthEstimation", "depth-estimation", "AutoModelForDepthEstimation"),
    ("ForKeypointDetection", "keypoint-detection", "AutoModelForKeypointDetection"),
    ("ForObjectDetection", "object-detection", "AutoModelForObjectDetection"),
    ("CLIPModel", "zero-shot-image-classification", "AutoModelForZeroShotImageClassification"),
    ("ForTextToWaveform", "text-to-audio", "AutoModelForTextToWaveform"),
)
# `…ForConditionalGeneration` covers text, speech and vision: the model type decides.
_SPEECH_TYPES = ("whisper", "speech_to_text", "speecht5", "moonshine", "seamless_m4t")
_TEXT_TYPES = ("t5", "mt5", "umt5", "bart", "mbart", "pegasus", "blenderbot", "m2m_100", "led")
_NOT_TEXT = ("image", "video", "depth", "object", "keypoint", "mask-generation")
_QUANTIZERS = ("gptq", "awq", "bitsandbytes", "compressed-tensors", "fp8", "hqq", "aqlm", "eetq")
_TOKEN_KEYS = (
    *("bos_token", "eos_token", "pad_token", "unk_token", "mask_token", "cls_token"),
    *("sep_token", "chat_template", "use_default_system_prompt"),
)
MAX_TEMPLATE_CHARS = 100_000


def infer_library(card: Mapping[str, Any], names: tuple[str, ...], config: Mapping[str, Any]) -> str | None:
    """Declared `library_name`, else a tag that is a library, else what the files tell."""
    declared = as_text(card.get("library_name"))
    if declared:
        return declared
    for tag in as_texts(card.get("tags")):
        if tag in LIBRARIES:
            return tag
    if "pretrained_cfg" in config and "architecture" in config:
        return "timm"
    known = next((library for name, library in EXACT_FILES.items() if name in names), None)
    if known is None and (config.get("model_type") or architectures(config)):
        return "transformers"
    return known or _library_of_suffix(names)


def _library_of_suffix(names: tuple[str, ...]) -> str | None:
    for suffix, library in FILE_SUFFIXES.items():
        if any(name.endswith(suffix) for name in names):
            return library
    return None


def architectures(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Class names a `config.json` lists."""
    value = config.get("architectures")
    return as_texts(value) if isinstance(value, list) else ()


def _architecture(config: Mapping[str, Any]) -> tuple[str, str] | None:
    """`(pipeline tag, auto class)` of the first architecture with a known ending."""
    kind = as_text(config.get("model_type")) or ""
    for name in architectures(config):
        for suffix, task, auto_model in _ARCHITECTURES:
            if name.endswith(suffix):
                return task, auto_model
        if name.endswith("ForConditionalGeneration"):
            if kind in _SPEECH_TYPES:
                return "automatic-speech-recognition", "AutoModelForSpeechSeq2Seq"
            if "vision_config" in config:
                return "image-text-to-text", "AutoModelForImageTextToText"
            task = "text2text-generation" if kind in _TEXT_TYPES else ""
            return task, "AutoModelForSeq2SeqLM"
        if name.endswith("Model"):
            return "feature-extraction", "AutoModel"
    return None


def infer_pipeline_tag(
    card: Mapping[str, Any],
    library: str | None,
    config: Mapping[str, Any],
    tokenizer_config: Mapping[str, Any],
) -> str | None:
    """Declared `pipeline_tag`, else a tag that is a task, else the architecture's task."""
    declared = as_text(card.get("pipeline_tag"))
    if declared:
        return declared
    for tag in as_texts(card.get("tags")):
        if tag in PIPELINE_TAGS:
            return tag
    if library == "sentence-transformers":
        return "sentence-similarity"
    known = _architecture(config)
    if known and known[0]:
        return known[0]
    return "text-generation" if tokenizer_config.get("chat_template") else None


def transformers_info(
    task: str | None, names: tuple[str, ...], config: Mapping[str, Any]
) -> dict[str, str] | None:
    """How to load the model with transformers; only keys the Hub's clients accept."""
    known = _architecture(config)
    auto_map = as_map(config.get("auto_map"))
    auto_model = known[1] if known else next((k for k in auto_map if "Model" in k), None)
    if auto_model is None:
        return None
    info = {"auto_model": auto_model}
    custom = as_text(auto_map.get(auto_model))
    if custom:
        info["custom_class"] = custom
    if task:
        info["pipeline_tag"] = task
    info["processor"] = _processor(task or "", names)
    return info


def _processor(task: str, names: tuple[str, ...]) -> str:
    if "processor_config.json" in names or task in ("image-text-to-text", "any-to-any"):
        return "AutoProcessor"
    if task == "automatic-speech-recognition" or task.startswith("zero-shot-image"):
        return "AutoProcessor"
    if task.startswith("audio"):
        return "AutoFeatureExtractor"
    return "AutoImageProcessor" if task.startswith(_NOT_TEXT) else "AutoTokenizer"


def base_models(
    card: Mapping[str, Any],
    library: str | None,
    names: tuple[str, ...],
    config: Mapping[str, Any],
) -> tuple[tuple[str, str], ...]:
    """`(model id, relation)` of each parent; the relation is inferred where not declared."""
    parents = unique(name for name in as_texts(card.get("base_model")) if is_repo_id(name))
    relation = as_text(card.get("base_model_relation"))
    if relation not in BASE_MODEL_RELATIONS:
        relation = _infer_relation(card, library, names, config, len(parents))
    return tuple((name, relation) for name in parents)


def _infer_relation(
    card: Mapping[str, Any],
    library: str | None,
    names: tuple[str, ...],
    config: Mapping[str, Any],
    parent_count: int,
) -> str:
    tags = set(as_texts(card.get("tags")))
    if library == "peft" or "adapter_config.json" in names or "lora" in tags:
        return "adapter"
    if parent_count > 1 or tags & {"merge", "mergekit"}:
        return "merge"
    quantized = "quantization_config" in config or bool(tags & {*_QUANTIZERS, "gguf"})
    if quantized or library in ("gguf", "llama.cpp") or any(n.endswith(".gguf") for n in names):
        return "quantized"
    return "finetune"


def curve_tags(names: tuple[str, ...]) -> list[str]:
    """`tensorboard`, as the Hub says it, where there are event files to draw curves from."""
    return ["tensorboard"] if any("tfevents" in name for name in names) else []


def model_format_tags(
    names: tuple[str, ...], config: Mapping[str, Any], tokenizer_config: Mapping[str, Any]
) -> list[str]:
    """Bare tags from the files: weight formats, model type, quantisation, chat, custom code."""
    tags = [tag for name, tag in FORMAT_FILES.items() if name in names]
    tags += [tag for end, tag in FORMAT_SUFFIXES.items() if any(n.endswith(end) for n in names)]
    tags += curve_tags(names)
    kind = as_text(config.get("model_type"))
    if kind:
        tags.append(kind)
    method = as_text(as_map(config.get("quantization_config")).get("quant_method"))
    if method:
        tags.append(method)
    if tokenizer_config.get("chat_template") or "chat_template.jinja" in names:
        tags.append("conversational")
    return tags + (["custom_code"] if as_map(config.get("auto_map")) else [])


def config_summary(config: Mapping[str, Any], tokenizer_config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The part of `config.json` and `tokenizer_config.json` that the API returns as `config`."""
    summary: dict[str, Any] = {}
    if architectures(config):
        summary["architectures"] = list(architectures(config))
    if as_text(config.get("model_type")):
        summary["model_type"] = config["model_type"]
    for key in ("auto_map", "quantization_config"):
        if as_map(config.get(key)):
            summary[key] = config[key]
    tokens = {k: tokenizer_config[k] for k in _TOKEN_KEYS if tokenizer_config.get(k) is not None}
    if len(str(tokens.get("chat_template", ""))) > MAX_TEMPLATE_CHARS:
        del tokens["chat_template"]
    if tokens:
        summary["tokenizer_config"] = tokens
    return summary or None


def mask_token(tokenizer_config: Mapping[str, Any]) -> str | None:
    """The mask token, written as text or as an added-token mapping."""
    value = tokenizer_config.get("mask_token")
    return as_text(as_map(value).get("content")) if isinstance(value, dict) else as_text(value)
