"""What the README asks of curl and grpcurl, for machines without them: `python -m tests.readme.stand_ins curl ...`."""

import argparse
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

TIMEOUT = 10.0


def curl(arguments: Sequence[str]) -> None:
    """Print what an address answers, refusals too."""
    parser = argparse.ArgumentParser("curl")
    parser.add_argument("-s", action="store_true")
    parser.add_argument("url")
    url = parser.parse_args(arguments).url
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310  # an address of the README
            sys.stdout.write(answer.read().decode())
    except urllib.error.HTTPError as refusal:
        sys.stdout.write(refusal.read().decode())


def grpcurl(arguments: Sequence[str]) -> None:
    """List services, or make a unary call; all by reflection."""
    parser = argparse.ArgumentParser("grpcurl")
    parser.add_argument("-plaintext", action="store_true", required=True)
    parser.add_argument("-d", default="{}")
    parser.add_argument("address")
    parser.add_argument("what")
    asked = parser.parse_args(arguments)
    with grpc.insecure_channel(asked.address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        if asked.what == "list":
            print(*sorted(database.get_services()), sep="\n")  # noqa: T201  # its answer
        else:
            print(_call(channel, database, asked.what, asked.d))  # noqa: T201  # its answer


def _call(channel: grpc.Channel, database: ProtoReflectionDescriptorDatabase, what: str, data: str) -> str:
    service, _, name = what.rpartition("/")
    method = descriptor_pool.DescriptorPool(database).FindServiceByName(service).methods_by_name[name]
    request = json_format.ParseDict(json.loads(data), message_factory.GetMessageClass(method.input_type)())
    answer = message_factory.GetMessageClass(method.output_type)
    call = channel.unary_unary(f"/{service}/{name}", type(request).SerializeToString, answer.FromString)
    return json_format.MessageToJson(call(request, timeout=TIMEOUT))


PROGRAMS: dict[str, Callable[[Sequence[str]], None]] = {"curl": curl, "grpcurl": grpcurl}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](sys.argv[2:])
