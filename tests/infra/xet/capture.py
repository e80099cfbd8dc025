"""Record what the real hf_xet client sends, as fixtures: `python tests/infra/xet/capture.py`.

Writes fixtures/{xorb.bin,shard.bin,files.json}: one upload of three small files of bf16 weights,
text and noise. `make_sample` makes the same files again, so their content is not stored.
"""

import hashlib
import json
import tempfile
from pathlib import Path

from conftest import MiniCas, make_sample

FIXTURES = Path(__file__).parent / "fixtures"
FILES = {"bf16": 60_000, "text": 200_000, "noise": 20_001}


def main() -> None:
    FIXTURES.mkdir(exist_ok=True)
    cas = MiniCas()
    try:
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / kind for kind in FILES]
            for path in paths:
                path.write_bytes(make_sample(path.name, FILES[path.name]))
            answer = cas.run_client(Path(folder) / "home", upload=paths)
            digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    finally:
        cas.close()
    (xorb_body,) = cas.xorbs.values()
    (shard_body,) = cas.shard_bodies
    (FIXTURES / "xorb.bin").write_bytes(xorb_body)
    (FIXTURES / "shard.bin").write_bytes(shard_body)
    files = [
        {"kind": kind, "size_bytes": size, "xet_hash": name, "sha256": digest}
        for kind, (name, size), digest in zip(FILES, answer["hashes"], digests, strict=True)
    ]
    (FIXTURES / "files.json").write_text(json.dumps(files, indent=2) + "\n")


if __name__ == "__main__":
    main()
