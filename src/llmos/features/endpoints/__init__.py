"""Endpoints: models of the hub that answer.

An *endpoint* says which model is served, for whom and with how many *replicas*. A replica is one engine:
a job of kind "engine" on a runner, which keeps a *channel* open to the hub. A *call* is one request,
handed to a replica by `calls.ask`, the one door for every face.

Below: `jobs` (leases, runners, logs), `repos` (who may read a model). Above: `playground`, `quickstart`.
"""
