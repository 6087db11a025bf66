"""Metrics: plain numbers in a call's path, Prometheus's text when somebody asks."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.chassis.metrics import Metrics

PATH = "/meshmart.order.v1.OrderService/GetOrder"
LABELS = {"service": "meshmart.order.v1.OrderService", "method": "GetOrder"}


@pytest.fixture
def metrics():
    return Metrics()


def _samples(metrics):
    """Return what Prometheus would read: {(name, labels): value}."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def _value(metrics, name, **labels):
    return _samples(metrics).get((name, frozenset(labels.items())))


@pytest.mark.parametrize("side", ["server", "client"])
def test_a_method_has_rate_errors_duration_and_in_flight(metrics, side):
    if side == "server":
        method, labels = metrics.server_method(PATH), LABELS
    else:
        method, labels = metrics.client_method("storefront", PATH), {**LABELS, "caller": "storefront"}
    for code, seconds in (("OK", 0.002), ("OK", 0.2), ("NOT_FOUND", 0.002)):
        method.started()
        method.handled(code, seconds)
    method.started()

    assert _value(metrics, f"grpc_{side}_handled_total", **labels, code="OK") == 2
    assert _value(metrics, f"grpc_{side}_handled_total", **labels, code="NOT_FOUND") == 1
    assert _value(metrics, f"grpc_{side}_handling_seconds_count", **labels) == 3
    assert _value(metrics, f"grpc_{side}_handling_seconds_sum", **labels) == pytest.approx(0.204)
    assert _value(metrics, f"grpc_{side}_in_flight", **labels) == 1


def test_buckets_are_cumulative(metrics):
    method = metrics.server_method(PATH)
    for seconds in (0.001, 0.002, 60.0):
        method.started()
        method.handled("OK", seconds)

    buckets = {
        le: _value(metrics, "grpc_server_handling_seconds_bucket", **LABELS, le=le)
        for le in ("0.001", "0.0025", "10.0", "+Inf")
    }

    assert buckets == {"0.001": 1, "0.0025": 2, "10.0": 2, "+Inf": 3}


def test_a_method_that_was_never_called_shows_zero(metrics):
    metrics.server_method(PATH)

    assert _value(metrics, "grpc_server_handled_total", **LABELS, code="OK") == 0


def test_the_same_method_is_counted_in_one_place(metrics):
    assert metrics.server_method(PATH) is metrics.server_method(PATH)


def test_a_service_adds_metrics_of_its_own(metrics):
    order = metrics.of("order")
    order.counter("sagas_recovered", "Sagas taken over.", reason="lease").inc(2)
    order.gauge("sagas_running", "Sagas now.", lambda: 7)
    order.histogram("saga_seconds", "Durations of sagas.").observe(0.3)

    assert _value(metrics, "sagas_recovered_total", service="order", reason="lease") == 2
    assert _value(metrics, "sagas_running", service="order") == 7
    assert _value(metrics, "saga_seconds_count", service="order") == 1


def test_services_of_one_process_share_a_name(metrics):
    for service in ("order", "payment"):
        metrics.of(service).gauge("outbox_pending_rows", "Rows.", lambda: 1)

    assert _value(metrics, "outbox_pending_rows", service="order") == 1
    assert _value(metrics, "outbox_pending_rows", service="payment") == 1
    assert metrics.text().count(b"# TYPE outbox_pending_rows gauge") == 1


def test_a_name_has_one_type(metrics):
    metrics.of("order").counter("sagas", "Sagas.")

    with pytest.raises(ValueError, match="another type"):
        metrics.of("payment").gauge("sagas", "Sagas.", lambda: 1)


def test_the_process_shows_its_memory(metrics):
    assert b"process_resident_memory_bytes" in metrics.text()
