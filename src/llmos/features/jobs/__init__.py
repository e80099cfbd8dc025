"""Jobs, their queue, and the runners that take them.

A *job* is a command or a training recipe with declared inputs and outputs. An *attempt* is one try
at it by one *runner*, held under a *lease*: the runner proposes states, small rules accept or refuse
them. A *schedule* makes jobs at times. A *runner* is a machine that asks for jobs; its *scope* says
whose jobs it may take, its *trust* which kinds. Neighbours: inputs and outputs are repositories and
buckets (below); threads and collections (above) may speak of jobs.
"""
