"""Evaluation: benchmarks, results of models on them, boards, and the log of signed records.

A *benchmark* is a task of a data set with an `eval.yaml`. A *result* is one value of a model on it:
*self-reported* (a line in `.eval_results/*.yaml`), *signed* (a record whose envelope this instance has
verified) or *reproduced* (signed by several parties that do not depend on each other). The *log* holds
every signed record that was accepted; nothing is ever taken out of it. Looks down on discussions,
jobs and repositories.
"""
