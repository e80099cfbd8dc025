"""Where rows are declared."""

_NAMES = "identity repositories discovery reading writing people talk collections webhooks buckets"
PARTS = [f"clients.rows.{name}" for name in _NAMES.split()]
