"""Spans leave by OTLP when an endpoint is set."""

import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from meshmart.catalog.v1.catalog_service_pb2 import BatchGetProductsRequest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from tests.chassis.shop import ID, shop

GET_PRODUCT = BatchGetProductsRequest(product_ids=[ID])


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what is exported to it."""

    def __init__(self):
        self.spans = []
        self.endpoint = ""

    def Export(self, request, context):
        for resource in request.resource_spans:
            service = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [(service["service.name"], span.name) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def collector():
    server = grpc.server(ThreadPoolExecutor(1))
    collector = Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield collector
    server.stop(None).wait()


async def test_what_is_sampled_reaches_the_collector_before_the_process_ends(collector):
    async with shop(otlp_endpoint=collector.endpoint, sampler_ratio=1.0) as served:
        await served.catalog.BatchGetProducts(GET_PRODUCT)

    assert collector.spans == [("catalog", "/meshmart.catalog.v1.CatalogService/BatchGetProducts")]


async def test_a_collector_that_is_not_there_costs_neither_the_call_nor_a_long_end():
    async with shop(otlp_endpoint="http://127.0.0.1:1", sampler_ratio=1.0) as served:
        await served.catalog.BatchGetProducts(GET_PRODUCT)
        leaving = time.monotonic()

    assert time.monotonic() - leaving < 10
