"""Reads option extensions through descriptors alone, so that nobody's generated code is needed."""

from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message


class OptionReader:
    """Reads extensions of options with the definitions of one pool."""

    def __init__(self, pool: DescriptorPool) -> None:
        """Read with the extensions that the pool defines."""
        self.pool = pool

    def get(self, options: Message, extension: str) -> Any | None:
        """Return the value of an extension; None when it is not set or the protos do not know it."""
        found = self._extension(extension)
        if found is None:
            return None
        parsed = self._parse(options)
        if found.is_repeated:
            return list(parsed.Extensions[found]) or None
        return parsed.Extensions[found] if parsed.HasExtension(found) else None

    def without(self, options: Message, extension: str) -> bytes:
        """Return serialized options without an extension."""
        found = self._extension(extension)
        if found is None:
            return options.SerializeToString()
        parsed = self._parse(options)
        parsed.ClearExtension(found)
        return bytes(parsed.SerializeToString(deterministic=True))

    def _extension(self, name: str) -> FieldDescriptor | None:
        try:
            return self.pool.FindExtensionByName(name)
        except KeyError:
            return None

    def _parse(self, options: Message) -> Any:
        # An extension is known only to the class made from its own pool, not to the generated one.
        descriptor = self.pool.FindMessageTypeByName(options.DESCRIPTOR.full_name)
        return message_factory.GetMessageClass(descriptor).FromString(options.SerializeToString())
