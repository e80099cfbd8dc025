"""What is learnt: how rows become batches, what the loss is, and what is measured on the held-out part.

`language` holds the three pre-training objectives, `labelled` classification, tagging and questions,
`pairs` summaries and translations. Preferences and dialogues go through TRL, see `train.tuning`.
"""
