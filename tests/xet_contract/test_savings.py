"""Only what changed is sent, and a client on a bad line still gets through."""

from __future__ import annotations

from kit.server import LiveServer
from xet_contract.conftest import ClientFactory, sample
from xet_contract.relay import relaying

MIB = 1024 * 1024


def test_second_upload_by_another_client_sends_no_chunks(
    client: ClientFactory, repo_id: str, server: LiveServer
) -> None:
    data = sample("bf16", 10 * MIB, seed=10)
    client().upload(repo_id, "first.bin", data)
    with relaying(server.port) as relay:
        client(HF_ENDPOINT=relay.url).upload(repo_id, "second.bin", data)
    assert relay.seen["xorbs"] == 0
    assert relay.seen["shards"] == 1
    assert client().download(repo_id, "second.bin") == data


def test_changed_bytes_cost_little(client: ClientFactory, repo_id: str, server: LiveServer) -> None:
    data = sample("noise", 40 * MIB, seed=11)
    changed = bytearray(data)
    changed[20 * MIB : 20 * MIB + len(data) // 100] = sample("noise", len(data) // 100, seed=12)
    inserted = sample("noise", 100, seed=13) + data
    with relaying(server.port) as relay:
        same_client = client(HF_ENDPOINT=relay.url)
        same_client.upload(repo_id, "model.bin", data)
        for new, limit in [(bytes(changed), 0.03), (inserted, 0.01)]:
            relay.sent.clear()
            same_client.upload(repo_id, "model.bin", new)
            assert 0 < relay.sent["xorbs"] + relay.sent["shards"] < limit * len(data)
            assert client().download(repo_id, "model.bin") == new
        relay.sent.clear()
    with relaying(server.port) as relay:
        client(HF_ENDPOINT=relay.url).upload(repo_id, "again.bin", bytes(changed))
        assert relay.sent["xorbs"] == 0


def test_transfers_survive_a_failing_proxy(client: ClientFactory, repo_id: str, server: LiveServer) -> None:
    data = sample("noise", MIB, seed=14)
    with relaying(server.port, fail_every=3) as relay:
        client(HF_ENDPOINT=relay.url).upload(repo_id, "model.bin", data)
        assert client(HF_ENDPOINT=relay.url).download(repo_id, "model.bin") == data
    assert relay.failed
