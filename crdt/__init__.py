"""Convergent data types and the byte form of their values; they know nothing of the mesh."""

from crdt import codec, hlc, lattice
from crdt.causal import CausalContext, Dot
from crdt.codec import Value, decode, encode
from crdt.counters import Counter, PNCounter
from crdt.dotstore import CausalLattice, DotFun, DotMap, DotSet, DotStore
from crdt.errors import BirthConflictError, CodecError, CrdtError, StampError
from crdt.hlc import Clock
from crdt.lattice import Lattice, delta, join_all
from crdt.logs import AppendLog
from crdt.maps import GMap, ORMap
from crdt.registers import LWWRegister, MVRegister
from crdt.sets import AWSet, GSet
from crdt.tree import MovableTree, Move, MoveKey

__all__ = [
    "AWSet",
    "AppendLog",
    "BirthConflictError",
    "CausalContext",
    "CausalLattice",
    "Clock",
    "CodecError",
    "Counter",
    "CrdtError",
    "Dot",
    "DotFun",
    "DotMap",
    "DotSet",
    "DotStore",
    "GMap",
    "GSet",
    "LWWRegister",
    "Lattice",
    "MVRegister",
    "MovableTree",
    "Move",
    "MoveKey",
    "ORMap",
    "PNCounter",
    "StampError",
    "Value",
    "codec",
    "decode",
    "delta",
    "encode",
    "hlc",
    "join_all",
    "lattice",
]
