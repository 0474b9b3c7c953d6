"""``python -m settings``: the name of a profile's environment."""

from __future__ import annotations

import argparse
import sys

from settings.kinds import SettingsError
from settings.profiles import load, read_context


def main() -> None:
    """Print the name of a profile's environment, for the Makefile."""
    parser = argparse.ArgumentParser(prog="python -m settings", description=main.__doc__)
    parser.add_argument("--profile", default="dev", help="a profile of cdk.json (default: dev)")
    try:
        profile = load({**read_context(), "profile": parser.parse_args().profile})
    except SettingsError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{profile.environment_name}\n")


if __name__ == "__main__":
    main()
