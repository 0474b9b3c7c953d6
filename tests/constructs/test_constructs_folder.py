"""The folder `constructs/` shares its name with CDK's package (constructs/README.md)."""

import sysconfig
from pathlib import Path

import constructs
from constructs.data_lake import DataLake

ROOT = Path(__file__).parents[2]


def test_the_package_is_cdks() -> None:
    assert constructs.__file__ is not None
    assert Path(constructs.__file__).is_relative_to(sysconfig.get_path("purelib"))


def test_local_modules_are_found_in_it() -> None:
    module = __import__(DataLake.__module__, fromlist=["__file__"])
    assert Path(str(module.__file__)) == ROOT / "constructs" / "data_lake.py"


def test_the_folder_hides_nothing_of_cdks() -> None:
    local = {path.name for path in (ROOT / "constructs").iterdir()}
    package = {path.name for path in Path(str(constructs.__file__)).parent.iterdir()}
    assert "__init__.py" not in local
    assert local & package <= {"__pycache__"}
