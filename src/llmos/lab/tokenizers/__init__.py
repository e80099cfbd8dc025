"""Tokenizers: trained (`train`), compared (`compare`), and saved as transformers loads them."""
