"""`python -m benchmarks.serving_run '{"way": …}'`: tokens made without frames, in a process of its own.

Ways: `direct` (the engine's own batch, called), `generate` (transformers' generate(), text after text),
`continuous` (transformers' continuous batching). Ends with tokens and seconds as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.serving_engine import make_prompts
from llmos.lab.train.device import ENVIRONMENT, set_threads

os.environ.update(ENVIRONMENT)
Figures = dict[str, Any]


def direct(model: Any, prompts: list[list[int]], count: int) -> int:
    from llmos.lab.serve.batch import Batch
    from llmos.lab.serve.rows import Row

    batch = Batch(model, streams=64, context=1023, cells=64 * 256, most_tokens=512)
    for prompt in prompts:
        batch.add(Row(list(prompt), len(prompt) + count))
    made = 0
    while batch.has_work:
        for advance in (batch.read_prompts, batch.grow):
            step = advance()
            tokens = step.logits.max(dim=-1).indices.tolist() if step else []
            for row, token in zip(step.rows if step else (), tokens, strict=True):
                row.ids.append(token)
                made += 1
                if len(row.ids) >= row.owner:
                    batch.end(row)
    return made


def generate(model: Any, prompts: list[list[int]], count: int) -> int:
    import torch

    made = 0
    for prompt in prompts:
        found = model.generate(torch.tensor([prompt]), max_new_tokens=count, do_sample=False)
        made += found.shape[1] - len(prompt)
    return made


def continuous(model: Any, prompts: list[list[int]], count: int) -> int:
    from transformers import GenerationConfig
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    found = model.generate_batch(
        inputs=prompts,
        generation_config=GenerationConfig(
            max_new_tokens=count, do_sample=False, eos_token_id=-1, pad_token_id=0
        ),
        continuous_batching_config=ContinuousBatchingConfig(
            page_size=32, num_blocks=512, max_batch_tokens=512
        ),
    )
    return sum(len(one.generated_tokens) for one in found.values())


def main() -> None:
    task: Figures = json.loads(sys.argv[1])
    from llmos.lab.evaluate.engines.loading import load_model

    set_threads(None)
    model = load_model(Path(task["model"]), dtype="float32", device="cpu").requires_grad_(False)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    way = {"direct": direct, "generate": generate, "continuous": continuous}[task["way"]]
    prompts = make_prompts(task["prompts"], task["words"])
    way(model, prompts[:1], 4)
    began = time.perf_counter()
    tokens = way(model, prompts, task["count"])
    print(json.dumps({"tokens": tokens, "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
