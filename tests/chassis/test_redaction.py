"""Redaction follows the contract: what is marked `debug_redact` goes, at any depth, and nothing else."""

from google.protobuf.descriptor_pb2 import DescriptorProto
from google.protobuf.struct_pb2 import Struct
from meshmart.identity.v1.customer_pb2 import Customer
from meshmart.identity.v1.identity_service_pb2 import CreateSessionRequest, RegisterCustomerResponse

from services.chassis.redaction import redacted, redacted_text


def test_a_marked_field_goes():
    request = CreateSessionRequest(email="ada@example.com", password="correct horse")

    assert redacted(request) == CreateSessionRequest()


def test_the_message_itself_stays_as_it_was():
    request = CreateSessionRequest(password="correct horse")

    redacted(request)

    assert request.password == "correct horse"


def test_a_marked_field_goes_at_any_depth():
    response = RegisterCustomerResponse(customer=Customer(id="7", email="ada@example.com"))

    assert redacted(response) == RegisterCustomerResponse(customer=Customer(id="7"))


def test_a_message_without_marked_fields_is_not_copied():
    message = Struct(fields={})

    assert redacted(message) is message


def test_a_message_that_contains_itself_is_no_trap():
    message = DescriptorProto(name="a", nested_type=[DescriptorProto(name="b")])

    assert redacted(message) == message


def test_the_text_is_one_line():
    response = RegisterCustomerResponse(customer=Customer(id="7", email="ada@example.com", display_name="Ada"))

    assert redacted_text(response) == 'customer { id: "7" }'
