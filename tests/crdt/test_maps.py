"""Maps: removal of a key against writes below it."""

from crdt.counters import PNCounter
from crdt.maps import GMap, ORMap
from crdt.registers import MVRegister
from crdt.sets import AWSet


def test_a_write_below_a_key_survives_its_concurrent_removal() -> None:
    empty = ORMap(AWSet())
    base = empty.apply("k", lambda tags: tags.add(replica=b"x", value=1))
    removed = base.join(base.remove("k"))
    written = base.join(base.apply("k", lambda tags: tags.add(replica=b"y", value=2)))
    assert "k" not in removed
    joined = removed.join(written)
    assert joined.keys() == ("k",)
    assert "k" in joined
    assert "l" not in joined
    assert joined.get("k").values() == (2,)


def test_a_removed_key_leaves_no_tombstone() -> None:
    empty = ORMap(ORMap(MVRegister()))
    base = empty.apply(
        "task",
        lambda fields: fields.apply(
            "title", lambda title: title.write(replica=b"x", value="draft")
        ),
    )
    assert base.get("task").get("title").values() == ("draft",)
    emptied = base.join(base.apply("task", lambda fields: fields.remove("title")))
    assert emptied.keys() == ()
    assert not emptied.store
    assert emptied.remove("task") == empty == emptied.clear()


def test_an_absent_key_reads_as_bottom_content() -> None:
    assert ORMap(AWSet()).get("k").values() == ()


def test_a_change_at_a_key_goes_on_from_its_value() -> None:
    def more(count: PNCounter) -> PNCounter:
        return count.increment(replica=b"x", amount=2)

    counts = GMap(PNCounter())
    for key in ("k", "l", "k", "k"):
        counts = counts.join(counts.apply(key, more))
    assert (counts.get("k").value, counts.get("l").value, counts.get("m").value) == (6, 2, 0)
    assert "k" in counts
    assert "m" not in counts
