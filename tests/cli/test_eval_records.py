"""`llmos key show`, `llmos eval verify` and `rerun`, as people without a server use them."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kit.records import MadeRecord, make_record
from llmos.cli.root import main
from llmos.infra.security.instance_key import instance_key_path, load_instance_key
from llmos.infra.settings import Settings, get_settings
from llmos.records.keys import load_private_key, load_public_keys


@pytest.fixture
def llmos(tmp_path: Path) -> Iterator[Callable[..., Result]]:
    get_settings.cache_clear()

    def run(*words: object, home: str = "home") -> Result:
        get_settings.cache_clear()
        env = {"LLMOS_HOME": str(tmp_path / home)}
        return CliRunner().invoke(main, [str(word) for word in words], env=env)

    yield run
    get_settings.cache_clear()


@pytest.fixture
def record(tmp_path: Path) -> MadeRecord:
    made = make_record(tmp_path, count=4)
    (tmp_path / "key.pem").write_text(made.key.public.to_pem())
    return made


def test_key_show_makes_the_key_once(llmos: Callable[..., Result], tmp_path: Path) -> None:
    shown = llmos("key", "show")
    assert shown.exit_code == 0
    assert llmos("key", "show").stdout == shown.stdout
    (public,) = load_public_keys(shown.stdout.encode())
    assert json.loads(llmos("key", "show", "--json").stdout) == {
        "keyid": public.keyid, "algorithm": "ed25519", "public_key": public.to_pem(),
    }  # fmt: skip
    path = tmp_path / "home" / "secrets" / "instance_key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_private_key(path.read_bytes()).public == public
    assert "PRIVATE" not in shown.stdout
    assert [path.name for path in path.parent.iterdir()] == ["instance_key"]


def test_a_key_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    first = load_instance_key(settings)
    assert load_instance_key(settings) == first
    assert instance_key_path(settings).read_bytes() == first


def test_a_key_somebody_broke_is_told(llmos: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "home" / "secrets").mkdir(parents=True)
    (tmp_path / "home" / "secrets" / "instance_key").write_text("oh")
    shown = llmos("key", "show")
    assert shown.exit_code == 1
    assert "instance_key" in shown.stderr


def test_verify_says_good_changed_or_unreadable(
    llmos: Callable[..., Result], record: MadeRecord, tmp_path: Path
) -> None:
    words = ("eval", "verify", record.bundle, "--key", tmp_path / "key.pem")
    good = llmos(*words, "--json")
    assert good.exit_code == 0
    told = json.loads(good.stdout)
    assert told["good"]
    assert {"weights", "metrics", "intervals"} <= set(told["checked"])
    assert told["signed_by"] == [record.key.public.keyid]
    (record.model / "model.safetensors").write_bytes(b"v" * 1000)
    changed = llmos(*words)
    assert changed.exit_code == 1
    assert "NOT GOOD: weights" in changed.stdout
    assert "model.safetensors" in changed.stdout
    for unreadable in (
        ("eval", "verify", tmp_path / "none", "--key", tmp_path / "key.pem"),
        ("eval", "verify", record.bundle, "--key", record.bundle / "statement.json"),
        ("eval", "verify", record.bundle, "--key", tmp_path / "none.pem"),
        ("eval", "verify", record.bundle),
    ):
        assert llmos(*unreadable).exit_code == 2
    refused = llmos("eval", "verify", tmp_path / "none", "--key", tmp_path / "key.pem", "--json")
    assert json.loads(refused.stdout)["code"] == "BadRecord"


def test_verify_needs_no_server_no_network_and_no_home(record: MadeRecord, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from llmos.cli import main\n"
        "sys.argv = ['llmos', *sys.argv[1:]]\n"
        "try: main()\n"
        "finally: print({'sqlalchemy', 'pyarrow', 'torch', 'fastapi'} & set(sys.modules), file=sys.stderr)\n"
    )
    words = ["eval", "verify", str(record.bundle), "--key", str(tmp_path / "key.pem")]
    env = {name: value for name, value in os.environ.items() if not name.startswith("LLMOS_")}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=empty, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("GOOD: ada/tiny-llm on ada/cloze")
    assert "intervals" in done.stdout
    assert done.stderr == "set()\n"
    assert list(empty.iterdir()) == []


def test_two_instances_check_each_other_with_the_public_key_alone(
    llmos: Callable[..., Result], tmp_path: Path
) -> None:
    keys: dict[str, Path] = {}
    for name in ("north", "south"):
        keys[name] = tmp_path / f"{name}.pem"
        keys[name].write_text(llmos("key", "show", home=name).stdout)
        key = load_private_key(load_instance_key(Settings(home=tmp_path / name)))
        (tmp_path / f"of-{name}").mkdir()
        make_record(tmp_path / f"of-{name}", count=2, key=key)
    for signer, other in (("north", "south"), ("south", "north")):
        bundle = tmp_path / f"of-{signer}" / "bundle"
        assert llmos("eval", "verify", bundle, "--key", keys[signer], home=other).exit_code == 0
        assert llmos("eval", "verify", bundle, "--key", keys[other], home=other).exit_code == 1
        both = llmos("eval", "verify", bundle, "--key", keys[other], "--key", keys[signer], home=other)
        assert both.exit_code == 0


def test_rerun_says_what_it_lacks(llmos: Callable[..., Result], record: MadeRecord) -> None:
    (record.bundle / "recipe.yaml").unlink()
    done = llmos("eval", "rerun", record.bundle)
    assert done.exit_code == 2
    assert "recipe.yaml" in done.stderr
