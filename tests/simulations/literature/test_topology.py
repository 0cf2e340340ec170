"""The overlays are those of the paper: a tree, and a mesh of four neighbours each."""

from simulations.literature.topology import MESH, NODES, TOPOLOGIES, TREE, links


def test_every_link_is_stated_by_both_ends() -> None:
    for topology in TOPOLOGIES.values():
        assert len(topology) == NODES
        for node, neighbours in enumerate(topology):
            assert len(set(neighbours)) == len(neighbours)
            assert node not in neighbours
            assert all(node in topology[neighbour] for neighbour in neighbours)


def test_the_tree_has_a_link_less_than_nodes_and_reaches_all() -> None:
    assert len(links(TREE)) == NODES - 1
    reached, waiting = {0}, [0]
    while waiting:
        for neighbour in TREE[waiting.pop()]:
            if neighbour not in reached:
                reached.add(neighbour)
                waiting.append(neighbour)
    assert reached == set(range(NODES))


def test_each_node_of_the_mesh_has_four_neighbours() -> None:
    assert {len(neighbours) for neighbours in MESH} == {4}
    assert len(links(MESH)) == 2 * NODES
