"""Tasks as data: ours, inspect-ai's and lm-evaluation-harness's, brought to one shape."""
