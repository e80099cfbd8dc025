"""The API of OpenAI over the models of this instance: `/v1/…`. Translates only.

Bodies become calls of `wire/serving`, `features/endpoints/calls` finds an engine for them, and the
engine's frames become answers or server-sent events. Fields nobody here knows are passed over.
"""
