"""`python -m scanner.cli` is `sandscan`."""

from scanner.cli.main import main

if __name__ == "__main__":
    main()
