"""From files and data sets to rows of tokens.

`sources` finds the files, `readers` reads rows out of them, `clean`, `language` and `dedup` filter
documents, `loader` puts these together behind `load`, `packing` writes the token cache and `order`
says which of its sequences comes next. No module here imports torch.
"""
