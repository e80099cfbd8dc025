"""A recipe: one YAML file that says completely how a model is made.

`schema` is the shape of it, `load` reads and writes it and reports mistakes by line, `resolve` fills
in what was left open and says why, `new` asks a person for one. No module here imports torch.
"""
