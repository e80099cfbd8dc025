"""The design system: base page, components, icons, static files, Markdown and code rendering.

Knows no feature and touches no database: everything shown comes in with the context.
"""
