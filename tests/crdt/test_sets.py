"""Sets: removal takes what it saw and nothing else."""

from crdt.sets import AWSet, GSet


def test_remove_loses_to_concurrent_add() -> None:
    base = AWSet().add(replica=b"x", value="v")
    removed = base.join(base.remove(value="v"))
    added = base.join(base.add(replica=b"y", value="v"))
    assert "v" not in removed
    assert "v" in removed.join(added)
    assert removed.join(added).values() == ("v",)


def test_remove_of_the_absent_is_bottom() -> None:
    assert AWSet().remove(value=1) == AWSet()


def test_adding_again_keeps_one_dot() -> None:
    tags = AWSet()
    for _ in range(5):
        tags = tags.join(tags.add(replica=b"x", value="v"))
    assert len(list(tags.store.dots())) == 1


def test_a_removed_value_leaves_only_its_dots_in_the_context() -> None:
    tags = AWSet().add(replica=b"x", value="v")
    emptied = tags.join(tags.clear())
    assert not emptied.store
    assert (emptied.context.vector, emptied.context.cloud) == ({b"x": 1}, frozenset())


def test_values_are_told_apart_as_the_codec_does() -> None:
    kinds = GSet().add(1).join(GSet().add(True))
    assert kinds.values() == (1, True)
    assert [type(value) for value in kinds.values()] == [int, bool]
    assert 1 in kinds
    assert 2 not in kinds
    tags = AWSet().add(replica=b"x", value=1)
    assert True not in tags
