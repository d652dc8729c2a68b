"""Wild requests, made from the OpenAPI document that is checked in: none of them is answered with a fault of the server's own."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from .servers import TOKEN, Served, alive

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed (pip install --group test)")

_DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
schema = schemathesis.openapi.from_path(str(_DOCUMENT))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    made = Served("--store", tmp_path_factory.mktemp("store"), "--rate", 10_000)
    yield made
    assert alive(made.pid)
    assert made.status().workers[0].restarts == 0
    made.stop()


@schema.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_no_request_is_answered_with_a_fault(case, served):
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    answer = case.call(base_url=served.address, headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code < 500, (case.as_curl_command(), answer.text)
    case.validate_response(
        answer,
        checks=[
            schemathesis.checks.not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
        ],
    )
