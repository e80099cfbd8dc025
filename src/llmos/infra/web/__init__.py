"""HTTP machinery without product nouns: raw-path routing, sessions per request, byte ranges."""
