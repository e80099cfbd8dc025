"""A transformers model in this process: loaded, sized, warmed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmos.lab.evaluate.engines.forward import can_share
from llmos.lab.models.build import count_parameters
from llmos.lab.serve.batch import Batch
from llmos.lab.serve.channel import Channel
from llmos.lab.serve.embedding import Embedder
from llmos.lab.serve.errors import CannotServe
from llmos.lab.serve.generating import Generating
from llmos.lab.serve.jobs import Jobs
from llmos.lab.serve.llama import has_llama
from llmos.lab.serve.loading import Loaded, load, load_llama
from llmos.lab.serve.service import Service
from llmos.lab.serve.sizing import allowed_bytes, cell_bytes, choose_sizes
from llmos.lab.serve.solo import SoloBatch
from llmos.lab.train.device import set_threads
from llmos.wire.serving import EngineFacts, EngineSpec

Say = Callable[[str, float], None]
_HEADS = ("SequenceClassification", "TokenClassification", "QuestionAnswering")


def start_local(
    folder: Path, spec: EngineSpec, channel: Channel, say: Say, *, base: Path | None = None
) -> tuple[Service, EngineFacts]:
    """A service that is ready to run, and what it says of itself. Raises CannotServe."""
    set_threads(None)
    if spec.engine == "llama.cpp" and has_llama():
        return _start_llama(folder, spec, channel, say)
    say("load", 0)
    loaded = load(folder, spec, lambda share: say("load", share), base=base)
    say("warm", 0)
    service = Service(channel)
    batch = _batch(loaded, spec)
    if batch is not None:
        service.generating = Generating(loaded, batch, service.send)
    embedder = None if loaded.kind.endswith(_HEADS) else Embedder(loaded, base or folder)
    service.jobs = Jobs(loaded, embedder, service.ask)
    _warm(service, loaded)
    say("warm", 1)
    return service, _facts(loaded, spec, batch, service.jobs)


def _start_llama(folder: Path, spec: EngineSpec, channel: Channel, say: Say) -> tuple[Service, EngineFacts]:
    say("load", 0)
    loaded, model, batch = load_llama(folder, spec, allowed_bytes())
    say("warm", 0)
    service = Service(channel)
    service.generating = Generating(loaded, batch, service.send)
    service.jobs = Jobs(loaded, None, service.ask)
    _warm(service, loaded)
    say("warm", 1)
    return service, EngineFacts(
        engine="llama.cpp",
        task="text-generation",
        tasks=service.jobs.tasks,
        parameters=model.parameters,
        dtype="gguf",
        device="cpu",
        context_tokens=loaded.context_tokens,
        cache_tokens=batch.cells,
        max_streams=batch.streams,
        vocabulary_size=model.vocabulary,
        has_chat_template=loaded.prompts.has_template,
        takes_tools=loaded.prompts.takes_tools,
        memory_bytes=held_bytes(),
    )


def _batch(loaded: Loaded, spec: EngineSpec) -> Batch | SoloBatch | None:
    """What texts grow in, where the model writes any."""
    if loaded.kind not in ("AutoModelForCausalLM", "AutoModelForSeq2SeqLM"):
        return None
    model = loaded.model
    sizes = choose_sizes(
        spec,
        cell=cell_bytes(model.config, str(model.dtype).removeprefix("torch.")),
        weights=loaded.weights_bytes,
        longest=loaded.context_tokens,
        free=_free_bytes(model),
    )
    if sizes.context < min(loaded.context_tokens, 256):
        raise CannotServe(
            "There is no memory left for texts beside the model.", code="out_of_memory", status=507
        )
    loaded.context_tokens = sizes.context
    if loaded.is_writer:
        return SoloBatch(model, streams=sizes.streams, context=sizes.context, first=_first(model))
    if can_share(model):
        return Batch(
            model,
            streams=sizes.streams,
            context=sizes.context,
            cells=sizes.cells,
            most_tokens=sizes.batch_tokens,
        )
    return SoloBatch(model, streams=sizes.streams, context=sizes.context)


def _first(model: Any) -> list[int]:
    """The tokens a model with an encoder begins to write with."""
    config = model.generation_config
    start = config.decoder_start_token_id
    if start is None:
        start = model.config.decoder_start_token_id
    forced = config.forced_bos_token_id
    return [int(token) for token in (start, forced) if token is not None] or [0]


def _free_bytes(model: Any) -> int:
    if model.device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    return allowed_bytes()


def _warm(service: Service, loaded: Loaded) -> None:
    """A real token or vector, so that `ready` means ready."""
    from llmos.wire.serving import Generate

    if service.generating is not None:
        for _ in service.ask(Generate(prompt=[loaded.begin], max_tokens=2, temperature=0, ignore_eos=True)):
            service.generating.step()
    elif service.jobs is not None and service.jobs.embedder is not None:
        for _ in service.jobs.embedder.embed([[loaded.begin]]):
            pass
    else:
        import torch

        with torch.inference_mode():
            loaded.model(input_ids=torch.tensor([[loaded.begin]], device=loaded.model.device))


def _facts(loaded: Loaded, spec: EngineSpec, batch: Batch | SoloBatch | None, jobs: Jobs) -> EngineFacts:
    model = loaded.model
    tasks = jobs.tasks
    facts = EngineFacts(
        engine="transformers",
        task=spec.task if spec.task in tasks else tasks[0],
        tasks=tasks,
        parameters=count_parameters(model)[0],
        dtype=str(model.dtype).removeprefix("torch."),
        device=str(model.device),
        context_tokens=loaded.context_tokens,
        vocabulary_size=loaded.vocabulary,
        embedding_size=jobs.embedder.size if jobs.embedder is not None else 0,
        has_chat_template=loaded.prompts.has_template and not loaded.is_writer,
        takes_tools=loaded.prompts.takes_tools,
        labels=tuple(jobs.heads.labels) if loaded.kind.endswith(_HEADS) else (),
        mask_token=loaded.tokenizer.mask_token or "",
        memory_bytes=held_bytes(),
    )
    if batch is None:
        return facts
    streams = batch.slots.most_rows if isinstance(batch, Batch) else batch.streams
    cells = batch.slots.cells if isinstance(batch, Batch) else batch.cells
    return facts.model_copy(update={"cache_tokens": cells, "max_streams": streams})


def held_bytes() -> int:
    """What this process holds now."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            line = next((x for x in file if x.startswith("VmRSS:")), "VmRSS: 0 kB")
    except OSError:
        return 0
    return int(line.split()[1]) * 1024
