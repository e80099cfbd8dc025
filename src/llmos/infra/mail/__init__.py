"""Mail: written into the outbox with the change it tells of, sent by the worker over SMTP."""
