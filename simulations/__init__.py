"""The engine in virtual time: worlds, networks, disks and clocks that fail on purpose, from a seed."""
