"""The shape of a recipe, version 1. Every field says what it is and why its default is what it is.

`None` means "by objective and model": `recipes.resolve` turns it into a value and gives the reason.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

RECIPE_VERSION = 1

Objective = Literal[
    "clm",
    "mlm",
    "seq2seq",
    "sft",
    "dpo",
    "kto",
    "orpo",
    "reward",
    "classify",
    "tag",
    "qa",
    "summarize",
    "translate",
]
Family = Literal["gpt2", "llama", "qwen", "bert", "roberta", "xlm-roberta", "albert", "t5", "bart"]
Preset = Literal["nano", "tiny", "small", "base", "medium", "large"]
PRETRAINING: frozenset[str] = frozenset({"clm", "mlm", "seq2seq"})
TUNED_BY_TRL: tuple[Objective, ...] = ("sft", "dpo", "kto", "orpo", "reward")
QUANTIZED: tuple[Objective, ...] = ("clm", "sft", "dpo", "kto", "orpo")

# What the rows of each objective hold, and what the columns are called unless `data.columns` says.
# One inner tuple is one accepted set of roles; the first that the data has is taken.
ROLES: dict[str, tuple[tuple[str, ...], ...]] = {
    "clm": (("text",),),
    "mlm": (("text",),),
    "seq2seq": (("text",),),
    "sft": (("messages",), ("prompt", "completion"), ("text",)),
    "dpo": (("prompt", "chosen", "rejected"), ("chosen", "rejected")),
    "orpo": (("prompt", "chosen", "rejected"), ("chosen", "rejected")),
    "reward": (("prompt", "chosen", "rejected"), ("chosen", "rejected")),
    "kto": (("prompt", "completion", "label"),),
    "classify": (("text", "text_pair", "label"), ("text", "label")),
    "tag": (("tokens", "tags"),),
    "qa": (("question", "context", "answers"), ("question", "context", "answer")),
    "summarize": (("text", "summary"),),
    "translate": (("source", "target"), ("translation",)),
}


def option(default: Any, what: str, why: str, **limits: Any) -> Any:
    """A field with its meaning and the reason for its default, both shown to people."""
    return Field(default=default, description=what, json_schema_extra={"reason": why}, **limits)


class Section(BaseModel):
    """Unknown fields are refused: a misspelt option must not be silently ignored."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, populate_by_name=True)


class Source(Section):
    """Local files, or a data set of the hub; exactly one of the two."""

    files: list[str] = option(
        [], "Paths or patterns as data/*.jsonl, relative to the recipe, or sample:english.txt.", "none"
    )
    dataset: str | None = option(None, "A data set of the hub, as ada/poems.", "local files are used")
    revision: str | None = option(None, "Commit, branch or tag of the data set.", "its main branch")
    config: str | None = option(None, "Configuration (subset) of the data set.", "its only or default one")
    split: str | None = option(None, "Split of the data set.", "train")
    unit: Literal["document", "paragraph", "line"] = option(
        "document", "What one document is in plain-text files.", "a file is one text"
    )
    encoding: str = option("utf-8", "Encoding of text files.", "nearly all text is UTF-8")
    columns: dict[str, str] = option({}, "Role: column, over `data.columns`.", "as in data.columns")
    weight: float = option(1.0, "How often this source is taken.", "each document once", gt=0, le=100)

    @model_validator(mode="after")
    def one_of_two(self) -> Source:
        if bool(self.files) == bool(self.dataset):
            raise ValueError("name either files or a dataset")
        return self


class CleaningOptions(Section):
    """What happens to documents before they are used."""

    form: Literal["NFC", "NFKC", "none"] = option(
        "NFC", "Unicode normalisation.", "NFKC would turn full-width Chinese punctuation into ASCII"
    )
    min_chars: int = option(1, "Shorter documents are left out.", "only empty ones", ge=0)
    max_repeated: float = option(1.0, "Most repeated lines a document may have.", "any", gt=0, le=1)
    keep_spaces: bool = option(False, "Keep runs of blanks.", "they carry little, except in code")
    dedup: Literal["none", "exact", "near"] = option(
        "exact", "Leave out copies of documents.", "copies are learnt by heart and spoil the held-out part"
    )
    languages: list[str] = option([], "Keep only these (en, zh, ja, ko, other).", "all are kept")


class Data(Section):
    """What is learnt from."""

    sources: Annotated[list[Source], Field(min_length=1, description="Where the documents come from.")]
    validation: list[Source] = option([], "Sources to evaluate on.", "a part of `sources` is held out")
    columns: dict[str, str] = option({}, "Role: column, as text: body.", "columns bear the roles' names")
    cleaning: CleaningOptions = Field(default_factory=CleaningOptions)
    held_out: float = option(
        0.05, "Share of documents held out for evaluation.", "enough for a steady figure", ge=0, lt=1
    )
    max_documents: int | None = option(None, "Use at most so many.", "all", ge=1)
    max_chars: int | None = option(None, "Use at most so many characters.", "all", ge=1)
    packing: Literal["stream", "fit", "none"] | None = option(
        None,
        "How documents fill rows: one after another and cut, whole ones side by side (fit), one a row.",
        "stream for pre-training, none where examples stay apart",
    )
    longer: Literal["error", "cut", "drop"] | None = option(
        None,
        "What to do with examples longer than a row.",
        "cut: the beginning still teaches something; reward drops",
    )


class TrainTokenizer(Section):
    """A tokenizer made from the data."""

    type: Literal["bpe", "unigram", "wordpiece"] | None = option(
        None,
        "Kind of tokenizer.",
        "byte-level BPE; Unigram for XLM-R, ALBERT and T5, WordPiece for large BERT",
    )
    vocab_size: int | None = option(
        None, "Tokens of the vocabulary.", "by preset: a small model cannot afford a large one", ge=64
    )
    min_frequency: int = option(2, "Rarer pieces get no token.", "what occurs once teaches nothing", ge=1)
    chat_template: bool = option(
        False, "Save a chat template with it.", "what has read texts cannot chat yet; tuning adds one"
    )


class TokenizerChoice(Section):
    """Train one, or take one that exists; neither: the base model's, or a trained one."""

    train: TrainTokenizer | None = option(None, "Train one on the data.", "when there is no base model")
    from_: Annotated[
        str | None,
        Field(
            alias="from",
            description="A folder or model whose tokenizer is used.",
            json_schema_extra={"reason": "the base's, or a new one"},
        ),
    ] = None
    revision: str | None = option(None, "Commit, branch or tag of that model.", "its main branch")

    @model_validator(mode="after")
    def not_both(self) -> TokenizerChoice:
        if self.train and self.from_:
            raise ValueError("name either train or from")
        return self


class Model(Section):
    """A model to go on from (`base`), or a family and size to start anew."""

    base: str | None = option(None, "A folder or model to start from.", "the weights are drawn anew")
    revision: str | None = option(None, "Commit, branch or tag of the base.", "its main branch")
    gguf_file: str | None = option(None, "The file to read, if the base is GGUF.", "safetensors")
    family: Family | None = option(None, "Architecture.", "llama, bert or t5 by objective")
    preset: Preset = option("tiny", "Size.", "learns real words in minutes on a laptop")
    overrides: dict[str, int | float | bool | str] = option(
        {}, "Fields of the family's configuration to set otherwise.", "the preset's shapes are measured"
    )
    labels: list[str] = option([], "Labels of a classifier or tagger, in order.", "those of the data, sorted")


class Denoising(Section):
    """How masked and encoder-decoder models are made to guess."""

    mask_share: float | None = option(
        None, "Share of tokens hidden.", "0.15, BART 0.3; small presets 0.3, T5 0.5", gt=0, lt=1
    )
    span_length: float = option(3.0, "Mean tokens of a hidden span.", "as T5 and BART", ge=1)
    sentence_pairs: Literal["none", "next", "order"] | None = option(
        None,
        "Second objective of BERT and ALBERT.",
        "from base on next sentence for BERT, order for ALBERT",
    )


class Optimiser(Section):
    """How the weights move."""

    name: Literal["adamw", "muon"] = option("adamw", "Optimiser.", "sturdy at every size")
    learning_rate: float | None = option(None, "Peak learning rate.", "by model size", gt=0, lt=10)
    muon_learning_rate: float = option(0.02, "Rate of matrices under Muon.", "as its authors", gt=0, lt=10)
    weight_decay: float | None = option(None, "Decay of matrices.", "0.1 anew, 0.01 tuning", ge=0, le=1)
    beta1: float = option(0.9, "First moment's memory.", "the usual one", ge=0, lt=1)
    beta2: float | None = option(None, "Second moment's memory.", "0.95 anew: batches are small", ge=0, lt=1)
    clip: float = option(1.0, "Longest gradient; 0 never clips.", "one bad batch cannot wreck a run", ge=0)


class Schedule(Section):
    """How the learning rate goes over the run."""

    name: Literal["cosine", "wsd", "linear", "constant"] = option(
        "cosine", "Course of the rate.", "best for a run of known length; wsd can be prolonged"
    )
    warmup: float = option(0.03, "Share of the run spent warming up.", "young moments are noise", ge=0, le=1)
    decay: float = option(0.2, "Share spent decaying (wsd).", "as its authors found", gt=0, le=1)
    floor: float = option(0.1, "Last rate, as a share of the peak.", "the end still learns", ge=0, le=1)


class Training(Section):
    """How long, how much at once, and in which numbers."""

    sequence_length: int | None = option(None, "Tokens of a row.", "by preset", ge=8)
    batch_tokens: int | None = option(None, "Tokens of one step.", "by preset", ge=8)
    micro_batch: int | None = option(
        None, "Rows computed at once; the rest is accumulated.", "what fits, at most the batch", ge=1
    )
    max_steps: int | None = option(None, "Stop after so many steps.", "another limit counts", ge=1)
    max_minutes: float | None = option(None, "Stop after so long.", "another limit counts", gt=0)
    max_epochs: float | None = option(None, "Stop after so many passes.", "3 if no limit is given", gt=0)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = option(
        "auto", "Numbers of the forward pass.", "bf16 where the machine has it; on other CPUs it is slower"
    )
    compile: bool | None = option(
        None,
        "torch.compile, layer by layer.",
        "clm and mlm on a card for over ten minutes; CPUs gain nothing",
    )
    gradient_checkpointing: bool = option(False, "Recompute to save memory.", "costs a third of the speed")
    ema: float = option(0.0, "Memory of an averaged copy of the weights; 0: none.", "off", ge=0, lt=1)
    seed: int = option(17, "Seed of weights, order and dropout.", "any; fixed so that runs repeat", ge=0)
    beta: float | None = option(None, "Beta of DPO, KTO and ORPO.", "0.1, as their authors", gt=0)
    threads: int | None = option(None, "CPU threads.", "all cores the job may use", ge=1)
    distributed: Literal["ddp", "fsdp"] = option(
        "ddp", "What each of several processes holds: the model, or a part (fsdp).", "fsdp is experimental"
    )


class Lora(Section):
    """Small matrices beside frozen weights."""

    rank: int = option(16, "Rank.", "near full tuning on small tasks", ge=1, le=4096)
    alpha: float | None = option(None, "Scale.", "twice the rank", gt=0)
    dropout: float = option(0.0, "Dropout.", "little gain on short runs", ge=0, lt=1)
    targets: list[str] | Literal["all-linear"] = option("all-linear", "Layers.", "best per parameter")
    dora: bool = option(False, "Weight-decomposed LoRA (DoRA).", "slower; better at low rank")
    merge: bool = option(True, "Write the merged model beside the adapter.", "it loads anywhere")
    quantize: Literal["nf4"] | None = option(
        None, "Keep the base in four bits (QLoRA); needs `make setup-qlora`.", "exact, and faster on CPUs"
    )


class Checkpoints(Section):
    """What a killed run keeps."""

    every_steps: int | None = option(None, "Steps between checkpoints.", "by time", ge=1)
    every_minutes: float = option(5.0, "Minutes between checkpoints.", "a killed run loses minutes", gt=0)
    keep: int = option(2, "Checkpoints kept.", "the last may be broken", ge=1)
    resume: bool = option(True, "Go on from the newest checkpoint.", "nobody wants to start over")


class Evaluation(Section):
    """Looking at the held-out part while training."""

    every_steps: int | None = option(None, "Steps between evaluations.", "ten in a run", ge=1)
    max_examples: int = option(200, "Rows or examples looked at.", "steady to a percent, quick", ge=1)
    samples: int = option(3, "Texts written at the end.", "people read them first", ge=0, le=50)
    sample_tokens: int = option(80, "Tokens of each.", "a paragraph", ge=1)
    prompts: list[str] = option([], "How the texts begin.", "beginnings of held-out documents")
    patience: int | None = option(
        None, "Stop after so many evaluations without gain; the best weights are kept.", "never", ge=1
    )


class Push(Section):
    """Where the result goes as commits."""

    repo: str | None = option(None, "As ada/tiny-llm.", "the model stays in the output folder")
    private: bool = option(True, "Hide the repository, if it is new.", "showing is a decision")
    branch: str = option("main", "Branch of the result.", "people look there")
    checkpoints_branch: str | None = option("checkpoints", "Branch of checkpoints.", "main stays clean")
    licence: str | None = option(None, "Licence of the model.", "inherited from base and data")


class Recipe(Section):
    """How a model is made."""

    version: Literal[1] = option(1, "Version of this format.", "the only one")
    name: str = option("", "What the run is called.", "objective and preset", max_length=100)
    objective: Annotated[Objective, Field(description="What is learnt.")]
    data: Data
    tokenizer: TokenizerChoice = Field(default_factory=TokenizerChoice)
    model: Model = Field(default_factory=Model)
    denoising: Denoising = Field(default_factory=Denoising)
    optimiser: Optimiser = Field(default_factory=Optimiser)
    schedule: Schedule = Field(default_factory=Schedule)
    training: Training = Field(default_factory=Training)
    lora: Lora | None = option(None, "Tune with LoRA.", "all weights move")
    checkpoints: Checkpoints = Field(default_factory=Checkpoints)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    push: Push = Field(default_factory=Push)

    @model_validator(mode="after")
    def fits_together(self) -> Recipe:
        from llmos.lab.recipes.together import check_together

        check_together(self)
        return self


DECODERS: tuple[Family, ...] = ("llama", "gpt2", "qwen")
ENCODERS: tuple[Family, ...] = ("bert", "roberta", "xlm-roberta", "albert")
ENCODER_DECODERS: tuple[Family, ...] = ("t5", "bart")
# The families an objective can use; the first is the default.
FAMILY_OF: dict[str, tuple[Family, ...]] = {
    "clm": DECODERS,
    "sft": DECODERS,
    "dpo": DECODERS,
    "kto": DECODERS,
    "orpo": DECODERS,
    "reward": DECODERS,
    "mlm": ENCODERS,
    "classify": ENCODERS + DECODERS,
    "tag": ENCODERS,
    "qa": ENCODERS,
    "seq2seq": ENCODER_DECODERS,
    "summarize": ENCODER_DECODERS,
    "translate": ENCODER_DECODERS,
}
