"""A run's story as JSON, for the API and the command."""

from __future__ import annotations

from typing import Any

from llmos.features.evals.models import EvalResult
from llmos.features.quickstart.recipes import recipe_name
from llmos.features.quickstart.story import Story


def run_json(story: Story, translate: Any = str) -> dict[str, Any]:
    """The story as JSON, in the language that `translate` knows."""
    run = story.run
    return {
        "id": run.object_id,
        "path": run.path,
        "state": run.state,
        "step": run.step,
        "error": run.error or None,
        "url": f"{story.base}/quickstart/{run.object_id}",
        "model": {"name": run.model_name, "url": story.base + story.model_href},
        "steps": [
            {
                "key": step.key,
                "title": translate(step.title),
                "state": step.state,
                "note": translate(step.note),
                "notes": [translate(note) for note in step.notes],
                "seconds": step.seconds,
                "share": step.share,
                "ran": [code for _, code in step.ran],
                "urls": [story.base + href for _, href in step.links],
            }
            for step in story.steps
        ],
        "training": {"recipe": recipe_name(run.path), **story.facts.to_json()},
        "scores": [_score_json(story, one) for one in story.results],
        "endpoint": {"url": f"{story.base}/v1", "model": run.model_name, "curl": story.curl},
        "before": run.found.get("before"),
        "answers": run.found.get("answers"),
        "discussion": story.base + story.discussion_href if story.discussion_href else None,
    }


def _score_json(story: Story, result: EvalResult) -> dict[str, Any]:
    own = [one for one in story.standings if one.dataset_id == result.dataset_id]
    rank = next((one.rank for one in own if one.is_own), None)
    return {
        "benchmark": result.dataset_key,
        "task": result.task_id,
        "metric": result.metric,
        "value": result.value,
        "low": result.low,
        "high": result.high,
        "n": result.n,
        "before": next(
            (
                base.value
                for base in story.base_results
                if (base.dataset_key, base.task_id, base.metric)
                == (result.dataset_key, result.task_id, result.metric)
            ),
            None,
        ),
        "rank": rank,
        "of": len(own),
        "leaderboard": f"{story.base}/datasets/{result.dataset_key}/leaderboard",
        "record": f"{story.base}/benchmarks/records/{result.record_id}",
        "baselines": [{"model": one.model, "value": one.value} for one in own if one.is_baseline],
    }
