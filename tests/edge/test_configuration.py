"""The configuration as a text."""

import subprocess

import pytest
import yaml

from scripts.local_run.edge import Addresses, render
from scripts.local_run.envoy import TEMPLATE, configuration
from scripts.local_run.ports import SERVICES
from scripts.local_run.wheels import find_binary

EMPTY: dict[str, list[str]] = {"routes": [], "jwt_rules": [], "staff_permissions": [], "services": [], "clusters": []}


def _addresses(**services):
    return Addresses("127.0.0.1", 8080, 9901, services, "/etc/meshmart/public.binpb")


def test_envoy_accepts_what_the_contract_and_the_template_make(tmp_path):
    file = tmp_path / "envoy.yaml"
    file.write_text(configuration(8080, 8081, dict.fromkeys(SERVICES, ("127.0.0.1", 8090))))
    done = subprocess.run(
        [find_binary("envoy"), "--mode", "validate", "-c", file, "--log-level", "error"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_placeholder_is_filled():
    text = render(TEMPLATE.read_text(), EMPTY, _addresses(storefront=("storefront", 50051)))
    assert "${" not in text


def test_a_cluster_stands_for_each_service_of_the_contract():
    contract = {**EMPTY, "clusters": ["order"]}
    text = render(TEMPLATE.read_text(), contract, _addresses(order=("order", 50051), storefront=("storefront", 50052)))
    clusters = {cluster["name"]: cluster for cluster in yaml.safe_load(text)["static_resources"]["clusters"]}
    endpoint = clusters["order"]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    assert clusters.keys() == {"order", "storefront", "edge"}
    assert endpoint["address"]["socket_address"] == {"address": "order", "port_value": 50051}


def test_a_service_without_an_address_is_an_error():
    with pytest.raises(KeyError, match="order"):
        render(TEMPLATE.read_text(), {**EMPTY, "clusters": ["order"]}, _addresses(storefront=("storefront", 1)))
