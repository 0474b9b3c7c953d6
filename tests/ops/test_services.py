"""The doctor asks for the services of the templates by the names that botocore has for them."""

from __future__ import annotations

import botocore.session

from ops.doctor.region import services_of
from tests.synthesized import Assembly


def test_every_service_of_the_templates_is_one_that_botocore_knows(assembly: Assembly) -> None:
    known = set(botocore.session.get_session().get_available_services())
    found = services_of(assembly.templates)
    assert found <= known
    assert {"bedrock", "comprehend", "firehose", "verifiedpermissions", "xray"} <= found
