"""`python -m cli` is `mesh`."""

from cli.start import main

main()
