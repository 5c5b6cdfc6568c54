"""`python -m regraft.cli`, for where the console script is not on the path."""

from regraft.cli import main

main()
