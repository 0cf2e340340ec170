"""
Floor 4: who is linked, what is pushed, what is repaired; and the messages peers speak.

Three machines that know nothing of each other and see the replica only through its port.
"""

from mesh.gossip.broadcast import Broadcast, LinkPush, TreeMessage
from mesh.gossip.membership import Membership, PeerView
from mesh.gossip.reconcile import ForkFound, LinkSync, Outcome, Reconcile

__all__ = [
    "Broadcast",
    "ForkFound",
    "LinkPush",
    "LinkSync",
    "Membership",
    "Outcome",
    "PeerView",
    "Reconcile",
    "TreeMessage",
]
