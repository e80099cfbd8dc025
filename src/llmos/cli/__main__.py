"""`python -m llmos.cli`: the same as `llmos`."""

from llmos.cli import main

main()
