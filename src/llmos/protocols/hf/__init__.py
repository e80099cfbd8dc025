"""The Hugging Face Hub protocol, one module per resource; routes translate, features decide."""
