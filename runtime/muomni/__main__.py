"""``python -m muomni`` is ``muomni-run``, for where the scripts are not on the PATH."""

from muomni.cli.run import main

if __name__ == "__main__":
    main()
