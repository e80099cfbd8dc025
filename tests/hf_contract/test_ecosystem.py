"""transformers, datasets and the `hf` program, unmodified, with HF_ENDPOINT and a token alone."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from kit.programs import client_env, run, run_python
from kit.server import LiveServer

TRANSFORMERS = """
import json, sys
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers import PreTrainedTokenizerFast
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
import torch

repo = sys.argv[1]
torch.manual_seed(0)
config = LlamaConfig(vocab_size=200, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                     num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64)
model = LlamaForCausalLM(config)
model.push_to_hub(repo)
bare = Tokenizer(models.BPE(unk_token="<unk>"))
bare.pre_tokenizer = pre_tokenizers.Whitespace()
bare.train_from_iterator(["ada writes a tiny llm", "你好 世界"] * 20,
                         trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>", "<s>", "</s>"]))
special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
PreTrainedTokenizerFast(tokenizer_object=bare, **special).push_to_hub(repo)

back = AutoModelForCausalLM.from_pretrained(repo)
tokenizer = AutoTokenizer.from_pretrained(repo)
same = all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), back.state_dict().values()))
ids = tokenizer("ada writes 你好", return_tensors="pt")["input_ids"]
out = back.generate(ids, max_new_tokens=4, do_sample=False)
kind = AutoConfig.from_pretrained(repo).model_type
print(json.dumps({"same": same, "type": kind, "grown": out.shape[1] > ids.shape[1]}))
"""

DATASETS = """
import json, sys
from datasets import Dataset, DatasetDict, load_dataset

repo = sys.argv[1]
rows = {"text": ["tiny", "text", "小文本"], "label": [0, 1, 0]}
DatasetDict({"train": Dataset.from_dict(rows), "test": Dataset.from_dict(rows)}).push_to_hub(repo)
back = load_dataset(repo)
streamed = list(load_dataset(repo, split="train", streaming=True))
print(json.dumps({"splits": sorted(back), "rows": back["train"].to_dict(), "streamed": len(streamed)}))
"""

INFO = """
import json, sys
from huggingface_hub import HfApi
info = HfApi().model_info(sys.argv[1])
print(json.dumps({"library": info.library_name, "task": info.pipeline_tag, "tags": info.tags,
                  "total": info.safetensors.total if info.safetensors else None}))
"""


def _name(word: str) -> str:
    return f"ada/{word}-{uuid.uuid4().hex[:8]}"


@pytest.mark.parametrize("xet", [True, False], ids=["xet", "plain"])
def test_transformers_pushes_and_loads(server: LiveServer, tmp_path: Path, xet: bool) -> None:
    env = client_env(server, tmp_path, **({} if xet else {"HF_HUB_DISABLE_XET": "1"}))
    repo = _name("tiny-llm")
    result = run_python(TRANSFORMERS, env, repo)
    assert result == {"same": True, "type": "llama", "grown": True}
    info = run_python(INFO, env, repo)
    assert info["library"] == "transformers"
    assert info["task"] == "text-generation"
    assert "safetensors" in info["tags"]
    assert info["total"] > 10_000


def test_datasets_pushes_and_loads(server: LiveServer, tmp_path: Path) -> None:
    result = run_python(DATASETS, client_env(server, tmp_path), _name("rows"))
    assert result["splits"] == ["test", "train"]
    assert result["rows"] == {"text": ["tiny", "text", "小文本"], "label": [0, 1, 0]}
    assert result["streamed"] == 3


def test_private_dataset_is_not_found_without_a_token(server: LiveServer, tmp_path: Path) -> None:
    repo = _name("secret")
    run_python(
        DATASETS.replace("push_to_hub(repo)", "push_to_hub(repo, private=True)"),
        client_env(server, tmp_path),
        repo,
    )
    code = "import sys; from datasets import load_dataset; load_dataset(sys.argv[1])"
    refused = run(
        ["python", "-c", code, repo], client_env(server, tmp_path / "other", person=None), check=False
    )
    assert refused.returncode
    assert "DatasetNotFoundError" in refused.stderr


def test_hf_program_uploads_lists_and_downloads(server: LiveServer, tmp_path: Path) -> None:
    env = client_env(server, tmp_path)
    repo = _name("by-hf")
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    (folder / "sub" / "weights.bin").write_bytes(b"\0\1" * 300_000)
    (folder / "名字.txt").write_text("中文")
    assert "ada" in run(["hf", "auth", "whoami"], env).stdout
    run(["hf", "upload", repo, str(folder)], env)
    listed = run(["hf", "models", "ls", "--search", repo.split("/")[1], "--format", "json"], env).stdout
    assert repo in listed
    run(["hf", "download", repo, "--local-dir", str(tmp_path / "back")], env)
    for path in ("README.md", "sub/weights.bin", "名字.txt"):
        assert (tmp_path / "back" / path).read_bytes() == (folder / path).read_bytes()
    run(["hf", "repos", "tag", "create", repo, "v1"], env)
    run(["hf", "repos", "branch", "create", repo, "draft"], env)
    run(["hf", "repos", "settings", repo, "--private"], env)
    run(["hf", "repos", "move", repo, f"{repo}-moved"], env)
    run(["hf", "download", repo, "README.md", "--local-dir", str(tmp_path / "moved")], env)
    run(["hf", "repos", "delete-files", f"{repo}-moved", "名字.txt"], env)
    run(["hf", "repos", "delete", f"{repo}-moved", "--yes"], env, check=False)
