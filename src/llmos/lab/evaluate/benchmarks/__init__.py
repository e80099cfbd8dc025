"""Benchmarks that come with LLMOS: made from texts that packages ship, English and Chinese.

`build.build(name, folder)` writes one; small ones lie ready in `llmos/lab/samples/benchmarks`.
"""
