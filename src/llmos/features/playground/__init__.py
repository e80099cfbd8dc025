"""The playground: talk to a model in the browser, compare two, look at its tokens.

Asks models through `endpoints`, as every other face does.
"""
