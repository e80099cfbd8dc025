"""What every version of the Hub client must be able to do; run by the client's own Python.

Prints one JSON object of results. Uses only calls that exist from 0.36 to 2.x.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import huggingface_hub
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.utils import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

repo, kind = sys.argv[1], sys.argv[2]
api = HfApi()
out = {"version": huggingface_hub.__version__}


def refused(kind_of_error, call):
    try:
        call()
    except kind_of_error:
        return True
    return False


work = Path(tempfile.mkdtemp())
big = os.urandom(3_000_000) + bytes(2_000_000)
(work / "weights.bin").write_bytes(big)
(work / "README.md").write_text("---\nlicense: mit\nlanguage: [en, zh]\ntags: [tiny]\n---\n# Tiny\n")
(work / "data").mkdir()
(work / "data" / "文.txt").write_text("中文")

out["who"] = api.whoami()["name"]
sdk = "static" if kind == "space" else None
api.create_repo(repo, repo_type=kind, space_sdk=sdk, private=True)
api.create_repo(repo, repo_type=kind, space_sdk=sdk, exist_ok=True)
api.upload_folder(repo_id=repo, repo_type=kind, folder_path=work, commit_message="Upload a folder")
api.upload_file(repo_id=repo, repo_type=kind, path_or_fileobj=b"{}", path_in_repo="config.json")
commit = api.create_commit(
    repo,
    [CommitOperationAdd("note.txt", b"note"), CommitOperationDelete("config.json")],
    commit_message="Two at once",
    repo_type=kind,
)
out["files"] = sorted(api.list_repo_files(repo, repo_type=kind))
info = api.repo_info(repo, repo_type=kind, files_metadata=True)
out["head"] = info.sha == commit.oid
out["private"] = info.private
out["tags"] = sorted(tag for tag in info.tags if tag in ("tiny", "license:mit", "zh", "language:zh"))
out["sizes"] = {s.rfilename: s.size for s in info.siblings if s.rfilename == "weights.bin"}
path = hf_hub_download(repo, "weights.bin", repo_type=kind)
out["bytes"] = Path(path).read_bytes() == big
folder = snapshot_download(repo, repo_type=kind, revision=commit.oid)
out["snapshot"] = (Path(folder) / "data" / "文.txt").read_text() == "中文"
api.create_branch(repo, branch="draft", repo_type=kind)
api.create_tag(repo, tag="v1", repo_type=kind, tag_message="first")
refs = api.list_repo_refs(repo, repo_type=kind)
out["branches"], out["tag_names"] = sorted(b.name for b in refs.branches), [t.name for t in refs.tags]
out["commits"] = [c.title for c in api.list_repo_commits(repo, repo_type=kind)][-1]
out["tree"] = sorted(e.path for e in api.list_repo_tree(repo, repo_type=kind))
out["no_entry"] = refused(EntryNotFoundError, lambda: hf_hub_download(repo, "nothing.txt", repo_type=kind))
out["no_revision"] = refused(
    RevisionNotFoundError, lambda: api.repo_info(repo, repo_type=kind, revision="nope")
)
out["no_repo"] = refused(RepositoryNotFoundError, lambda: api.repo_info(repo + "-nope", repo_type=kind))
out["listed"] = any(
    item.id == repo
    for item in {"model": api.list_models, "dataset": api.list_datasets, "space": api.list_spaces}[kind](
        author=repo.split("/")[0], limit=200
    )
)
api.super_squash_history(repo, repo_type=kind)
out["squashed"] = len(list(api.list_repo_commits(repo, repo_type=kind)))
api.move_repo(repo, repo + "-moved", repo_type=kind)
out["moved"] = api.repo_info(repo, repo_type=kind).id == repo + "-moved"
api.delete_repo(repo + "-moved", repo_type=kind)
out["gone"] = not api.repo_exists(repo + "-moved", repo_type=kind)
print(json.dumps(out))
