"""Applications: static Spaces in a frame that ask this instance's models through the page around them.

The files of a Space run without an origin, cookies or network of their own; what they want to ask
a model they tell the page, which asks as the visitor once the visitor has agreed. Stands on `playground`.
"""
