"""The Spark engine's entry point on a cluster, which can start a file but not a module."""

import sys

from fmops.analysis.spark import main

if __name__ == "__main__":
    sys.exit(main())
