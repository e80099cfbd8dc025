"""The outbox: news written in the same transaction as the change, delivered afterwards."""
