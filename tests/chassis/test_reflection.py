"""Reflection v1 and v1alpha by raw calls, as grpcurl and ghz make them."""

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import Default
from grpc_reflection.v1alpha.reflection_pb2 import (
    ExtensionRequest,
    ServerReflectionRequest,
    ServerReflectionResponse,
)
from meshmart.catalog.v1 import catalog_service_pb2
from meshmart.order.v1 import order_service_pb2

from services.chassis.pipeline import Routes
from services.chassis.reflection import EDGE_HEADER, HEALTH, V1, V1ALPHA, Reflection

CATALOG = "meshmart.catalog.v1.CatalogService"
ORDER = "meshmart.order.v1.OrderService"
FILE = "meshmart/order/v1/order_service.proto"
NOT_FOUND = grpc.StatusCode.NOT_FOUND.value[0]

pytestmark = pytest.mark.parametrize("version", [V1, V1ALPHA])


def _public():
    """Return a descriptor set of catalog, without the methods that change it."""
    public = FileDescriptorSet()
    for name in (catalog_service_pb2.DESCRIPTOR.name, "meshmart/catalog/v1/product.proto"):
        proto = FileDescriptorProto()
        Default().FindFileByName(name).CopyToProto(proto)
        public.file.append(proto)
    methods = public.file[0].service[0].method
    kept = [method for method in methods if method.name in ("GetProduct", "ListProducts")]
    del methods[:]
    methods.extend(kept)
    return public


@pytest.fixture
async def reflection():
    return Reflection([ORDER], _public())


@pytest.fixture
async def ask(reflection, version):
    """Return a function that asks one question over the wire."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Routes(reflection.handlers()),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        info = channel.stream_stream(
            f"/{version}/ServerReflectionInfo",
            request_serializer=ServerReflectionRequest.SerializeToString,
            response_deserializer=ServerReflectionResponse.FromString,
        )

        async def ask(*, edge=False, **question):
            metadata = ((EDGE_HEADER, "http"),) if edge else ()
            [answer] = [answer async for answer in info(iter([ServerReflectionRequest(**question)]), metadata=metadata)]
            return answer

        yield ask
    await server.stop(None)


def _files(answer):
    protos = map(FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
    return {proto.name: proto for proto in protos}


def _listed(answer):
    return [service.name for service in answer.list_services_response.service]


async def test_what_a_process_serves_is_listed_with_health_and_reflection(ask):
    assert _listed(await ask(list_services="*")) == [HEALTH, V1, V1ALPHA, ORDER]


async def test_every_listed_name_can_be_described(ask):
    for name in (HEALTH, V1, V1ALPHA, ORDER):
        assert _files(await ask(file_containing_symbol=name)), name


async def test_a_file_comes_with_all_it_imports_each_after_its_imports(ask):
    files = _files(await ask(file_by_filename=FILE))

    assert FILE in files
    seen: set[str] = set()
    for name, proto in files.items():
        assert seen.issuperset(proto.dependency), name
        seen.add(name)


@pytest.mark.parametrize(
    "symbol",
    [ORDER, f"{ORDER}.GetOrder", "meshmart.order.v1.GetOrderRequest", "meshmart.order.v1.GetOrderRequest.order_id"],
    ids=["service", "method", "message", "field"],
)
async def test_a_symbol_is_found_in_its_file(ask, symbol):
    assert FILE in _files(await ask(file_containing_symbol=symbol))


@pytest.mark.parametrize(
    "question",
    [
        {"file_containing_symbol": "meshmart.order.v1.NoService"},
        {"file_containing_symbol": f"{ORDER}.NoMethod"},
        {"file_containing_symbol": ""},
        {"file_by_filename": "no.proto"},
        {"file_containing_extension": ExtensionRequest(containing_type="No", extension_number=1)},
        {
            "file_containing_extension": ExtensionRequest(
                containing_type="google.protobuf.MethodOptions", extension_number=9
            )
        },
        {"all_extension_numbers_of_type": "No"},
    ],
    ids=str,
)
async def test_what_is_unknown_is_not_found(ask, question):
    answer = await ask(host="here", **question)

    assert answer.error_response.error_code == NOT_FOUND
    assert answer.original_request == ServerReflectionRequest(host="here", **question)
    assert answer.valid_host == "here"


async def test_a_question_without_content_is_an_invalid_argument(ask):
    answer = await ask(host="here")

    assert answer.error_response.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


async def test_our_options_can_be_found_as_extensions(ask):
    asked = ExtensionRequest(containing_type="google.protobuf.MethodOptions", extension_number=54100)

    numbers = await ask(all_extension_numbers_of_type="google.protobuf.MethodOptions")
    files = _files(await ask(file_containing_extension=asked))

    assert 54100 in numbers.all_extension_numbers_response.extension_number
    assert "meshmart/policy/v1/policy.proto" in files


async def test_through_the_edge_only_the_public_api_is_listed(ask):
    assert _listed(await ask(edge=True, list_services="*")) == [CATALOG]


async def test_through_the_edge_a_method_that_is_not_public_is_not_found(ask):
    public = await ask(edge=True, file_containing_symbol=f"{CATALOG}.GetProduct")
    other = await ask(edge=True, file_containing_symbol=f"{CATALOG}.CreateProduct")

    assert catalog_service_pb2.DESCRIPTOR.name in _files(public)
    assert other.error_response.error_code == NOT_FOUND


async def test_health_can_be_described_through_the_edge(ask):
    assert _files(await ask(edge=True, file_containing_symbol=HEALTH))


class TestAlone:
    """Where nothing else is hosted, the public API is shown to everybody."""

    @pytest.fixture
    def reflection(self):
        return Reflection([], _public())

    async def test_the_public_api_is_listed(self, ask):
        assert _listed(await ask(list_services="*")) == [CATALOG]


def test_order_is_loaded_for_its_descriptors(version):
    assert order_service_pb2.DESCRIPTOR.name == FILE
