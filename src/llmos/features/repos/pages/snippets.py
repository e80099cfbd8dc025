"""Commands to use or to fill a repository, on exactly the host the reader is on."""

from __future__ import annotations

from dataclasses import dataclass

from llmos.core.repo_types import RepoType
from llmos.features.repos.models import Repo, RepoFacts
from llmos.features.repos.pages.routes import repo_href
from llmos.infra.i18n import LazyString, lazy
from llmos.ui.highlight import HighlightedCode, highlight_file

_TYPE_OPTION = {
    RepoType.MODEL: "",
    RepoType.DATASET: " --repo-type dataset",
    RepoType.SPACE: " --repo-type space",
    RepoType.KERNEL: " --repo-type kernel",
}


@dataclass(frozen=True)
class Snippet:
    """One way to do it; `name` is a proper name or a message."""

    name: str
    code: str
    language: str = "sh"

    @property
    def highlighted(self) -> HighlightedCode:
        return highlight_file(self.code, f"snippet.{self.language}")


def usage_snippets(repo: Repo, facts: RepoFacts, address: str) -> list[Snippet]:
    """The ways that fit this repository, the most convenient first."""
    name, kind = repo.repo_name, repo.repo_type
    endpoint = f"export HF_ENDPOINT={address}\n"
    found: list[Snippet] = []
    if kind is RepoType.MODEL:
        found += _model_snippets(repo, facts, address)
    if kind is RepoType.DATASET:
        code = (
            f'# HF_ENDPOINT={address}\nfrom datasets import load_dataset\n\ndataset = load_dataset("{name}")'
        )
        found.append(Snippet("Datasets", code, "py"))
    found += [
        Snippet("hf", f"{endpoint}hf download {name}{_TYPE_OPTION[kind]}"),
        Snippet("Git", f"git lfs install\ngit clone {address}{repo_href(repo)}"),
    ]
    path = _small_file(facts)
    if path:
        found.append(Snippet("curl", f"curl -LO {address}{repo_href(repo)}/resolve/main/{path}"))
    return found


def _model_snippets(repo: Repo, facts: RepoFacts, address: str) -> list[Snippet]:
    name, note = repo.repo_name, f"# HF_ENDPOINT={address}\n"
    if repo.library_name == "sentence-transformers":
        code = (
            f'from sentence_transformers import SentenceTransformer\n\nmodel = SentenceTransformer("{name}")'
        )
        return [Snippet("Sentence Transformers", note + code, "py")]
    if repo.library_name == "diffusers":
        code = (
            f'from diffusers import DiffusionPipeline\n\npipe = DiffusionPipeline.from_pretrained("{name}")'
        )
        return [Snippet("Diffusers", note + code, "py")]
    if repo.library_name == "peft":
        code = f'from peft import AutoPeftModel\n\nmodel = AutoPeftModel.from_pretrained("{name}")'
        return [Snippet("PEFT", note + code, "py")]
    if repo.library_name == "transformers" or facts.config:
        task = repo.pipeline_tag or "text-generation"
        code = f'from transformers import pipeline\n\npipe = pipeline("{task}", model="{name}")'
        found = [Snippet("Transformers", note + code, "py")]
        if task in ("text-generation", "image-text-to-text"):
            found.append(Snippet("vLLM", f"export HF_ENDPOINT={address}\nvllm serve {name}"))
        return found + _gguf_snippets(repo, facts, address)
    return _gguf_snippets(repo, facts, address)


def _gguf_snippets(repo: Repo, facts: RepoFacts, address: str) -> list[Snippet]:
    if repo.library_name != "gguf" and not facts.gguf:
        return []
    return [Snippet("llama.cpp", f"export HF_ENDPOINT={address}\nllama-server -hf {repo.repo_name}")]


def _small_file(facts: RepoFacts) -> str | None:
    names = [item["rfilename"] for item in facts.siblings or [] if item["rfilename"] != ".gitattributes"]
    for wanted in ("config.json", "README.md"):
        if wanted in names:
            return wanted
    return names[0] if names else None


@dataclass(frozen=True)
class Step:
    """A way to bring the first files."""

    title: LazyString
    code: str
    language: str = "sh"

    @property
    def highlighted(self) -> HighlightedCode:
        return highlight_file(self.code, f"step.{self.language}")


def first_steps(repo: Repo, address: str, user: str) -> list[Step]:
    """How to fill an empty repository: command line, Python, git."""
    name, option = repo.repo_name, _TYPE_OPTION[repo.repo_type]
    kind = "" if repo.repo_type is RepoType.MODEL else f', repo_type="{repo.repo_type}"'
    folder = name.partition("/")[2]
    return [
        Step(
            lazy("From the command line"),
            f"pip install -U huggingface_hub\nexport HF_ENDPOINT={address}\nhf auth login\n"
            f"hf upload {name} ./my-folder .{option}",
        ),
        Step(
            lazy("From Python"),
            f'from huggingface_hub import HfApi\n\napi = HfApi(endpoint="{address}")\n'
            f'api.upload_folder(folder_path="my-folder", repo_id="{name}"{kind})',
            "py",
        ),
        Step(
            lazy("With git"),
            f"git lfs install\ngit clone {address}{repo_href(repo)}\ncd {folder}\n"
            'git add . && git commit -m "First files" && git push',
        ),
    ]
