"""`python -m cli` is `mesh`."""

from cli.main import main

main()
