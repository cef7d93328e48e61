"""`python -m latentrt`: the command line."""

from latentrt.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
