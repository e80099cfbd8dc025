"""Older clients, each in an environment of its own; `LLMOS_TEST_CLIENTS` names their interpreters.

For example `LLMOS_TEST_CLIENTS=/envs/hub-0.36/bin/python:/envs/hub-1.18/bin/python`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from kit.programs import run_python
from xet_contract.conftest import ClientFactory, sample

PYTHONS = [path for path in os.environ.get("LLMOS_TEST_CLIENTS", "").split(":") if path]
MIB = 1024 * 1024

_STEPS = """
import json, sys
from huggingface_hub import HfApi
steps = json.loads(sys.argv[1])
api = HfApi()
print(json.dumps([str(getattr(api, name)(**options)) for name, options in steps]))
"""


@pytest.mark.clients
@pytest.mark.skipif(not PYTHONS, reason="LLMOS_TEST_CLIENTS names no interpreter")
@pytest.mark.parametrize("python", PYTHONS)
def test_files_pass_between_versions(client: ClientFactory, repo_id: str, python: str) -> None:
    new, data = sample("bf16", 6 * MIB, seed=20), sample("noise", 3 * MIB, seed=21)
    client().upload(repo_id, "new.bin", new)
    old = client()
    path = old.write("old", data)
    steps = [
        ("upload_file", {"repo_id": repo_id, "path_in_repo": "old.bin", "path_or_fileobj": path}),
        ("hf_hub_download", {"repo_id": repo_id, "filename": "new.bin"}),
        ("hf_hub_download", {"repo_id": repo_id, "filename": "old.bin"}),
    ]
    results = run_python(_STEPS, old.env, json.dumps(steps), python=python)
    assert Path(results[1]).read_bytes() == new
    assert Path(results[2]).read_bytes() == data
    assert client().download(repo_id, "old.bin") == data
    entry = run_python(
        "import json, sys\nfrom huggingface_hub import HfApi\n"
        "print(json.dumps(HfApi().get_paths_info(sys.argv[1], ['old.bin'])[0].xet_hash))",
        client().env,
        repo_id,
    )
    assert entry  # it went up in chunks, not as one object
