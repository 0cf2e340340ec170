"""The engine in virtual time: networks, disks and clocks that fail on purpose, from a seed."""
