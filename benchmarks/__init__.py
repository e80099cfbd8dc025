"""What `make bench` runs: each figure beside a peer's or a physical limit from the same run."""
