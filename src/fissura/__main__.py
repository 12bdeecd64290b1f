"""``python -m fissura``."""

from fissura.cli.app import main

if __name__ == "__main__":
    main()
