"""Makes ``python -m crossent`` the same as ``crossent``."""

from crossent.cli.app import main

if __name__ == "__main__":
    main()
