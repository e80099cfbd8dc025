"""Recipes of jobs that look for a benchmark's items in a data set.

```yaml
version: 1
contamination:
  benchmark: {repo: ada/tang-cloze, revision: <commit>}
  data: {repo: ada/poems, revision: <commit>}
push: {repo: ada/tang-cloze, type: dataset, pull_request: false}
```

What is found is committed to the benchmark as `contamination/ada--poems.json`.
"""

from __future__ import annotations

from typing import Any

KEY = "contamination"
# Both are data sets; their names in the recipe.
PARTS = ("benchmark", "data")


def is_contamination(recipe: Any) -> bool:
    return isinstance(recipe, dict) and isinstance(recipe.get(KEY), dict)


def result_path(data: str) -> str:
    """Where the benchmark's repository keeps what was found in the data set."""
    return f"{KEY}/{data.replace('/', '--')}.json"
