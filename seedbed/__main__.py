"""`python -m seedbed COMMAND`: the console script, where the project is not installed."""

from seedbed.cli import main

if __name__ == "__main__":
    main()
