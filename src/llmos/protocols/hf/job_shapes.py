"""Jobs, schedules and hardware as the Hub's client reads them."""

from __future__ import annotations

from typing import Any

from llmos.core import clock
from llmos.features.accounts.models import Namespace
from llmos.features.jobs.flavors import GIB, Flavor
from llmos.features.jobs.models import Job, Schedule
from llmos.features.jobs.queries import stage_of
from llmos.features.jobs.requests import VolumeRequest
from llmos.protocols.hf.answers import drop_none


def job_json(job: Job, message: str = "", *, is_member: bool = True) -> dict[str, Any]:
    """`JobInfo`. Of secrets only the names are told, and to members of the owner alone."""
    spec = job.spec
    found = {
        "id": job.object_id,
        "createdAt": clock.to_json(job.created_at),
        "startedAt": clock.to_json(job.started_at) if job.started_at else None,
        "finishedAt": clock.to_json(job.finished_at) if job.finished_at else None,
        "dockerImage": spec["image"] or None,
        "command": spec["command"],
        "arguments": spec["arguments"],
        "environment": spec["environment"] if is_member else {},
        "secrets": dict.fromkeys(spec["secret_names"]) if is_member else {},
        "flavor": spec["flavor"],
        "labels": job.labels,
        "volumes": _volumes(spec),
        "timeout": int(job.timeout_s),
        "retry": job.max_attempts - 1,
        "status": drop_none({"stage": stage_of(job.state), "message": job.reason or message or None}),
        "durations": _durations(job),
        "owner": owner_json(job.namespace),
        "initiator": _initiator(job),
    }
    return drop_none(found) | _ours(job)


def _ours(job: Job) -> dict[str, Any]:
    """What only this hub tells, under one name that other clients skip."""
    return {
        "llmos": {
            "kind": job.kind,
            "state": job.state,
            "attempt": job.attempt,
            "exitCode": job.exit_code,
            "phase": job.phase,
            "progress": {"done": job.done, "total": job.total, "unit": job.unit},
            "energyWh": job.energy_wh,
            "outputs": job.spec["outputs"],
            "results": job.results,
            "public": job.visibility == "public",
        }
    }


def owner_json(namespace: Namespace) -> dict[str, str]:
    return {"id": namespace.object_id, "name": namespace.name, "type": namespace.kind}


def _volumes(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [VolumeRequest.model_validate(item).to_hub() for item in spec["volumes"]]


def _durations(job: Job) -> dict[str, int | None]:
    end = job.finished_at or clock.now()
    begun = job.started_at
    return {
        "schedulingSecs": int((begun - job.created_at).total_seconds()) if begun else None,
        "runningSecs": int((end - begun).total_seconds()) if begun else None,
        "totalSecs": int((end - job.created_at).total_seconds()),
    }


def _initiator(job: Job) -> dict[str, Any]:
    if job.copied_from is not None:
        return {"type": "duplicated-job", "id": job.copied_from}
    if job.schedule_id is not None:
        return {"type": "scheduled-job", "id": job.labels.get("schedule", str(job.schedule_id))}
    user = job.creator.namespace
    return {"type": "user", "id": user.object_id, "name": user.name}


def schedule_json(schedule: Schedule) -> dict[str, Any]:
    """`ScheduledJobInfo`."""
    spec = schedule.spec
    last = None
    if schedule.last_job_id and schedule.last_at:
        last = {"id": schedule.last_job_id, "at": clock.to_json(schedule.last_at)}
    job_spec = {
        "dockerImage": spec["image"] or None,
        "command": spec["command"],
        "arguments": spec["arguments"],
        "environment": spec["environment"],
        "secrets": dict.fromkeys(spec["secret_names"]),
        "flavor": spec["flavor"],
        "timeout": int(spec["timeout_s"]),
        "labels": spec["labels"],
        "volumes": _volumes(spec),
        "retry": spec["max_attempts"] - 1,
    }
    next_at = schedule.next_at if not schedule.is_suspended else None
    status = {"lastJob": last, "nextJobRunAt": clock.to_json(next_at) if next_at else None}
    return {
        "id": schedule.object_id,
        "createdAt": clock.to_json(schedule.created_at),
        "jobSpec": drop_none(job_spec),
        "schedule": schedule.cron,
        "suspend": schedule.is_suspended,
        "concurrency": schedule.may_overlap,
        "status": drop_none(status),
        "owner": owner_json(schedule.namespace),
        "initiator": {
            "type": "user",
            "id": schedule.creator.namespace.object_id,
            "name": schedule.creator.name,
        },
    }


def hardware_json(flavor: Flavor) -> dict[str, Any]:
    """One line of the list of hardware: here the least a machine must have free, at no cost."""
    found: dict[str, Any] = {
        "name": flavor.name,
        "prettyName": flavor.title,
        "cpu": f"{flavor.cores:g} vCPU",
        "ram": f"{flavor.memory_bytes // GIB} GB",
        "ephemeralStorage": "N/A",
        "unitCostMicroUSD": 0,
        "unitCostUSD": 0.0,
        "unitLabel": "minute",
    }
    if flavor.gpus:
        found["accelerator"] = {
            "type": "gpu",
            "model": flavor.gpu,
            "quantity": str(flavor.gpus),
            "vram": f"{flavor.gpu_memory_bytes // GIB * flavor.gpus} GB",
            "manufacturer": "Nvidia",
        }
    return found
