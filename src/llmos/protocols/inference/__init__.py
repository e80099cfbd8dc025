"""The Hub's inference API, as `huggingface_hub.InferenceClient` speaks it: `/models/{ns}/{name}`."""
