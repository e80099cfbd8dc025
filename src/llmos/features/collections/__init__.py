"""Collections: ordered, annotated lists of repositories, kept by a person or an organisation."""
