"""`python -m harness`: the command line, also the entry point for launchers that start Python modules."""

from harness.cli import main

if __name__ == "__main__":
    main()
