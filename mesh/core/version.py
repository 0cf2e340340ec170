"""
What this program calls itself; light to import.

Written down here, since to ask the installed distribution costs a process 1.4 MiB (it reads e-mail
headers) and a client command 15 ms. A test compares the two.
"""

from typing import Final

DISTRIBUTION: Final = "worknode-mesh"
VERSION: Final = "0.1.0"
