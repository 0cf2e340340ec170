"""
Promises broken on purpose: what is planted in the code, and the tests that must then fail.

One line of the code is exchanged for a mistake that somebody could make; the place is part of the
list, so a change of the code that moves it shows here at once.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen


@frozen
class Break:
    """
    One planted mistake.

    Attributes:
        promise: P1–P7 as `docs/testing.md` lists them, or "one link" for what must stay in it.
        tests: Arguments for pytest; at least one of the tests fails.
    """

    promise: str
    name: str
    path: str
    good: str
    bad: str
    tests: tuple[str, ...]


_DRIVER: Final = "tests/mesh/node/test_driver.py"
_LINKS: Final = "tests/mesh/node/test_links.py"
_ISOLATION: Final = "tests/mesh/node/test_isolation.py"
_ORDER: Final = "tests/mesh/replica/test_order.py"

BREAKS: Final = (
    Break(
        "P1",
        "of equal stamps the first to arrive stands",
        "mesh/worknode/cells.py",
        "and not later((hlc, at), (self.hlc, self.dot), order)",
        "",
        (_ORDER,),
    ),
    Break(
        "P1",
        "an operation before its Worknode's birth is dropped",
        "mesh/replica/fold.py",
        "            self.waiting.setdefault(found.missing, {})[(facts.n, index)] = None\n",
        "",
        (_ORDER,),
    ),
    Break(
        "P1",
        "an older move is applied on top of newer ones",
        "crdt/tree.py",
        "fresh = sorted(tail + fresh, key=_key)",
        "fresh = tail + fresh",
        ("tests/crdt/test_tree.py",),
    ),
    Break(
        "P1",
        "a restart forgets what came after the snapshot",
        "mesh/replica/loading.py",
        "        for n in tail:\n            _fold_one(held, n)\n",
        "",
        (_ORDER, "tests/mesh/replica/test_restart.py"),
    ),
    Break(
        "P2",
        "effects before the commit",
        "mesh/node/driver.py",
        "            await self._commit(effects)\n",
        "            self._execute_all(effects)\n            await self._commit(effects)\n",
        (_DRIVER, "tests/crash/test_order.py"),
    ),
    Break(
        "P2",
        "a failed commit is taken for a good one",
        "mesh/node/driver.py",
        "                raise BatchFailed(step.storage_error(error)) from error\n",
        "",
        (_DRIVER, "tests/crash/test_failed_commit.py"),
    ),
    Break(
        "P2",
        "the disk need not have it",
        "mesh/storage/schema.py",
        '"synchronous = FULL"',
        '"synchronous = OFF"',
        ("tests/mesh/storage/test_sync.py", "tests/mesh/storage/test_schema.py"),
    ),
    Break(
        "P2",
        "a restart forgets what waits to be sealed",
        "mesh/replica/pending.py",
        "            self._put(slot, decode_row(data))\n",
        "            decode_row(data)\n",
        ("tests/mesh/replica/test_pending.py",),
    ),
    Break(
        "P3",
        "signatures are not looked at",
        "capability/entry.py",
        "if not by(entry.header.author, signed, entry.signature):",
        "if not signed:",
        ("tests/capability/test_entry.py",),
    ),
    Break(
        "P3",
        "a body need not be the one that was signed",
        "capability/entry.py",
        "header.body_len != len(body) or header.body_hash != body_hash(body)",
        "header.body_len != len(body)",
        ("tests/capability/test_entry.py",),
    ),
    Break(
        "P3",
        "a grant may give more than its issuer has",
        "capability/authority.py",
        "if not attenuates(child.perms, parent.perms):\n        return Reason.WIDER_PERMS",
        "if False:\n        return Reason.WIDER_PERMS",
        ("tests/capability/test_ledger.py", "tests/capability/test_histories.py"),
    ),
    Break(
        "P3",
        "somebody else's grant will do",
        "capability/ledger.py",
        "return act.passes if act.passes.audience == author else None",
        "return act.passes",
        ("tests/capability", "tests/mesh/replica/test_hostile.py"),
    ),
    Break(
        "P3",
        "a grant holds outside its scope",
        "mesh/replica/judge.py",
        '        return _void("outside the grant\'s scope")\n',
        "        return COUNTS\n",
        ("tests/mesh/replica/test_hostile.py",),
    ),
    Break(
        "P3",
        "a move changes whose a Worknode is",
        "mesh/worknode/store.py",
        "            self._moves_due.append(item)\n",
        "            self._moves_due.append(item)\n"
        "            old = self.births[item.child]\n"
        "            self.births[item.child] = Birth(item.parent, old.key_class, old.key)\n",
        ("tests/mesh/replica/test_hostile.py",),
    ),
    Break(
        "P4",
        "a room for entries that wait grows",
        "mesh/replica/rooms.py",
        "while len(self.entries) > self.entries_max or self.size > self.bytes_max:",
        "while False:",
        ("tests/mesh/replica/test_hostile.py",),
    ),
    Break(
        "P4",
        "a peer may announce without end",
        "mesh/gossip/awaited.py",
        "if lane not in lanes and len(lanes) >= AWAITED_MAX:",
        "if False:",
        ("tests/mesh/gossip/test_awaited.py",),
    ),
    Break(
        "P4",
        "a peer that never answers is asked for ever",
        "mesh/gossip/broadcast.py",
        "if is_missing and state.unanswered < UNANSWERED_MAX:",
        "if is_missing:",
        ("tests/mesh/gossip/test_lazy.py", "tests/mesh/test_engine_push.py"),
    ),
    Break(
        "P4",
        "the inbox grows",
        "mesh/node/inbox.py",
        "return self._count >= self.items_max or self._bytes >= self.bytes_max",
        "return False",
        (_DRIVER,),
    ),
    Break(
        "P4",
        "an outbox grows",
        "mesh/node/link.py",
        "if self._outbox_bytes + len(data) > OUTBOX_BYTES_MAX:",
        "if False:",
        (_LINKS,),
    ),
    Break(
        "P4",
        "requests that wait are not counted",
        "mesh/node/requests.py",
        "if len(self._waiting) >= REQUESTS_MAX:",
        "if False:",
        (_DRIVER,),
    ),
    Break(
        "P4",
        "a subscriber's buffer grows",
        "mesh/node/subscriptions.py",
        "            self._buffer.clear()\n",
        "            pass\n",
        ("tests/mesh/node/test_subscriptions.py",),
    ),
    Break(
        "P4",
        "values nest without end",
        "crdt/codec.py",
        '    raise CodecError(f"nested deeper than {depth_max}")',
        "    return",
        ("tests/crdt/test_codec.py",),
    ),
    Break(
        "P4",
        "a peer's message has no end",
        "mesh/channel/frames.py",
        "if size > MESSAGE_BYTES_MAX:",
        "if False:",
        ("tests/mesh/channel/test_frames.py", "tests/mesh/channel/test_hostile.py"),
    ),
    Break(
        "P5",
        "an answer waits until a peer has answered",
        "mesh/engine.py",
        "        effects = self.replica.seal() + again + self._push(now)\n",
        "        effects = self.replica.seal() + again + self._push(now)\n"
        "        if self.links:\n"
        "            effects = [item for item in effects if not isinstance(item, Reply)]\n",
        ("tests/crash/test_no_waiting.py",),
    ),
    Break(
        "P5",
        "a local write wakes the network",
        "mesh/engine.py",
        "                return self.replica.submit(input, now)\n",
        "                asked = self.reconcile.sync_now(now)\n"
        "                return [*asked, *self.replica.submit(input, now)]\n",
        ("tests/mesh/test_engine.py",),
    ),
    Break(
        "P6",
        "whoever is linked is in sync",
        "mesh/gossip/session.py",
        "equal = self.equal_version is not None and self.equal_version == version",
        "equal = True",
        ("tests/mesh/gossip/test_reconcile.py", "tests/mesh/test_engine_status.py"),
    ),
    Break(
        "P6",
        "a peer's word is enough",
        "mesh/gossip/comparison.py",
        "equal = roots == (message.auth_root, message.data_root)",
        "equal = True",
        ("tests/mesh/gossip", "tests/mesh/test_engine_status.py"),
    ),
    Break(
        "P6",
        "no answer in time is said to be a failure",
        "mesh/node/requests.py",
        "        if waiter.is_handed_over:\n            raise Unknown(",
        "        if waiter.is_handed_over:\n            raise BackPressure(",
        (_DRIVER,),
    ),
    Break(
        "P6",
        "what was not measured is said to be so",
        "mesh/status.py",
        "if sync is not None and sync.compared_ms is not None else None",
        "if sync is not None else None",
        ("tests/mesh/test_engine_status.py",),
    ),
    Break(
        "P7",
        "a machine rolls dice of its own",
        "mesh/gossip/membership.py",
        "        self._random = random\n",
        "        self._random = Random()\n",
        ("tests/mesh/node/test_recorder.py", "tests/replay"),
    ),
    Break(
        "P7",
        "a machine looks at the clock",
        "mesh/replica/writer.py",
        "            hlc = self.held.clock.tick(now.wall_ms)\n            slot",
        "            hlc = self.held.clock.tick(__import__('time').time_ns() // 1_000_000)\n"
        "            slot",
        ("tests/mesh/node/test_recorder.py", "tests/replay"),
    ),
    Break(
        "one link",
        "bad bytes leave their link",
        "mesh/node/link.py",
        "        except ChannelError as error:\n            self._end(str(error))\n",
        "        except ChannelError:\n            raise\n",
        (_LINKS,),
    ),
    Break(
        "one link",
        "a mistake of ours leaves its link",
        "mesh/node/link.py",
        "        except Exception as error:  # noqa: BLE001 - one link's trouble, even our own",
        "        except ZeroDivisionError as error:  # one link's trouble, even our own",
        (_ISOLATION,),
    ),
    Break(
        "one link",
        "a stranger's handshake ends the node",
        "mesh/node/links.py",
        "            except Exception as error:  # noqa: BLE001 - a stranger's connection",
        "            except ZeroDivisionError as error:  # a stranger's connection",
        (_ISOLATION,),
    ),
    Break(
        "one link",
        "an effect that fails takes the others with it",
        "mesh/node/driver.py",
        "            except Exception as error:  # noqa: BLE001 - the others of the batch",
        "            except ZeroDivisionError as error:  # the others of the batch",
        (_ISOLATION,),
    ),
    Break(
        "one link",
        "mDNS that fails ends the node",
        "mesh/transport/discovery.py",
        "            except Exception as error:  # noqa: BLE001 - mDNS may not",
        "            except ZeroDivisionError as error:  # mDNS may not",
        ("tests/mesh/transport/test_discovery.py",),
    ),
    Break(
        "one link",
        "a mistake in one call ends the node",
        "mesh/api/http.py",
        "        except Exception as error:  # noqa: BLE001 - one call's mistake",
        "        except ZeroDivisionError as error:  # one call's mistake",
        ("tests/mesh/api/test_http.py",),
    ),
    Break(
        "one link",
        "a slow subscriber holds up the others",
        "mesh/node/subscriptions.py",
        "                subscription.offer(event)\n",
        "                subscription.offer(event)\n"
        "                if len(subscription._buffer) > 2:\n"
        "                    return\n",
        ("tests/mesh/node/test_subscriptions.py",),
    ),
)
