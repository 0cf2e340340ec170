"""
The literature's experiment on synchronization, and our protocol at the same work.

    python -m simulations.literature --jobs 2

Machines of the algorithms of Enes et al. (ICDE 2019) run over the lattices of `crdt`, in virtual
time, until their published payloads come out; beside them 15 real engines do the same work. What is
counted, and what came of it, is in docs/literature.md.
"""
