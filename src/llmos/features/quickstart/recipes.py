"""What a run trains: the shipped recipe with a few words changed, and the command that says the same."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import yaml

from llmos.features.quickstart.models import FINETUNE

TEXTS = {"en": "sample:english.txt", "zh": "sample:chinese.txt"}
LANGUAGES = {"both": ("en", "zh"), "en": ("en",), "zh": ("zh",)}
# Benchmarks whose figure falls as soon as a model has learnt anything: `evals.shipped` makes them.
BENCHMARKS = {"en": "llmos/english-text", "zh": "llmos/chinese-text"}
BASE = "llmos/SmolLM2-135M-Instruct"
CHAT = "sample:chat.jsonl"
PROMPTS = {"en": "The people of", "zh": "春風"}
QUESTION = "What is a language model? Answer in one sentence."


def recipe_name(path: str) -> str:
    return "quickstart-chat" if path == FINETUNE else "quickstart"


def training_recipe(path: str, model_name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe of the run's training job, whose model goes to `model_name`."""
    push = {"repo": model_name, "private": bool(options.get("is_private"))}
    if path == FINETUNE:
        return {
            "version": 1,
            "name": recipe_name(path),
            "objective": "sft",
            "data": {"sources": [{"files": [CHAT]}]},
            "model": {"base": BASE},
            "lora": {"rank": 8},
            # Few steps fit into minutes: larger ones than usual, and most of the time for them.
            "optimiser": {"learning_rate": 1e-3},
            "evaluation": {"every_steps": 8, "samples": 1, "sample_tokens": 32},
            "training": {
                "max_minutes": options["max_minutes"],
                "sequence_length": 128,
                "batch_tokens": 512,
            },
            "push": push,
        }
    recipe: dict[str, Any] = yaml.safe_load(
        files("llmos.wire").joinpath("quickstart.yaml").read_text(encoding="utf-8")
    )
    recipe["data"]["sources"] = [{"files": [TEXTS[one] for one in LANGUAGES[options["languages"]]]}]
    recipe["training"]["max_minutes"] = options["max_minutes"]
    return recipe | {"push": push}


def training_command(path: str, model_name: str, options: Mapping[str, Any]) -> str:
    """The same as a line for a shell; of a fine-tuning the defaults, as a line cannot say all of it."""
    minutes = f"{options['max_minutes']:g}"
    if path == FINETUNE:
        words = ["llmos", "train", "--objective", "sft", "--data", CHAT, "--base", BASE, "--lora"]
    else:
        limits = training_recipe(path, model_name, options)["training"]
        words = ["llmos", "train", "quickstart", "--max-epochs", f"{limits['max_epochs']:g}"]
        if options["languages"] != "both":
            words += ["--data", TEXTS[options["languages"]]]
    return shlex.join([*words, "--max-minutes", minutes, "--push", model_name])


def benchmarks_of(path: str, options: Mapping[str, Any]) -> list[str]:
    """What the model is measured by; the conversations of the fine-tuning are about Tang poems."""
    languages = ("zh",) if path == FINETUNE else languages_of(options)
    return [BENCHMARKS[one] for one in languages]


def languages_of(options: Mapping[str, Any]) -> tuple[str, ...]:
    return LANGUAGES[options.get("languages", "both")]
