from __future__ import annotations

import pytest

from capability import permissions
from capability.permissions import ALL, MEMBER, attenuates, names, parse


def test_each_permission_is_one_bit_of_its_own() -> None:
    bits = [getattr(permissions, name) for name in names(ALL)]
    assert bits == [1 << at for at in range(13)]
    assert sum(bits) == ALL


def test_names_and_parse_are_inverse() -> None:
    for perms in (0, 1, MEMBER, ALL):
        assert parse(" ".join(names(perms))) == perms
    assert parse("read, Write") == permissions.READ | permissions.WRITE


def test_an_unknown_word_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'fly' is no permission; there are: read, comment"):
        parse("read fly")


def test_unknown_bits_have_no_name_but_count_as_bits() -> None:
    assert names(1 << 20) == ()
    assert not attenuates(1 << 20, ALL)
    assert attenuates(MEMBER, ALL)
    assert not attenuates(ALL, MEMBER)


def test_a_member_neither_approves_nor_administers() -> None:
    assert names(ALL & ~MEMBER) == ("EXECUTE", "APPROVE", "REVOKE", "PLAN", "ADMIN")
