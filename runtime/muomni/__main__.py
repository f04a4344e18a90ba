"""``python -m muomni`` is ``muomni-run``, for where the scripts are not on the PATH."""

from muomni.cli.entry import run

if __name__ == "__main__":
    run()
