"""Cards and weight headers: what a repository says about itself, read without side effects.

A *card* is `README.md` with YAML front matter. Everything here is pure: text and bytes in,
frozen facts or findings out; nothing touches the database, git or the object store.
"""
