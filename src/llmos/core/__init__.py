"""Pure ideas: names, ids, clock, errors, pagination."""
