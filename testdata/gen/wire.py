"""A tiny protobuf wire writer and reader, for the encodings that protobuf's own Python writer never produces.

Needs: any CPython 3. Imported by the scripts beside it.
"""
import struct


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while True:
        low = value & 0x7F
        value >>= 7
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def overlong(value, length):
    """The same number in exactly `length` bytes: legal, and never written by a sane encoder."""
    out = bytearray((value >> (7 * i)) & 0x7F | 0x80 for i in range(length))
    out[-1] &= 0x7F
    return bytes(out)


def key(field, wire):
    return varint(field << 3 | wire)


def integer(field, value):
    return key(field, 0) + varint(value)


def chunk(field, payload):
    return key(field, 2) + varint(len(payload)) + payload


def packed_floats(field, values):
    return chunk(field, struct.pack("<%df" % len(values), *values))


def unpacked_floats(field, values):
    return b"".join(key(field, 5) + struct.pack("<f", v) for v in values)


def packed_doubles(field, values):
    return chunk(field, struct.pack("<%dd" % len(values), *values))


def unpacked_doubles(field, values):
    return b"".join(key(field, 1) + struct.pack("<d", v) for v in values)


def shape(dims, packed=True):
    """BlobProto.shape (7) holding BlobShape.dim (1)."""
    if packed:
        return chunk(7, chunk(1, b"".join(varint(d) for d in dims)) if dims else b"")
    return chunk(7, b"".join(integer(1, d) for d in dims))


def legacy(dims):
    """num, channels, height, width (1..4), padded with ones in front."""
    dims = [1] * (4 - len(dims)) + list(dims)
    return b"".join(integer(i + 1, d) for i, d in enumerate(dims))


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    """Yields (field, wire type, value, raw bytes of the whole entry)."""
    at = 0
    while at < len(data):
        start = at
        tag, at = read_varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = read_varint(data, at)
        elif wire == 1:
            value, at = data[at : at + 8], at + 8
        elif wire == 2:
            size, at = read_varint(data, at)
            value, at = data[at : at + size], at + size
        elif wire == 5:
            value, at = data[at : at + 4], at + 4
        else:
            raise ValueError("wire type %d" % wire)
        yield tag >> 3, wire, value, data[start:at]


def replace_blobs(model, encode):
    """A V2 caffemodel with every LayerParameter.blobs (7) entry re-encoded by encode(layer name, index, old bytes)."""
    out = b""
    for field, wire, value, raw in fields(model):
        if field != 100 or wire != 2:
            out += raw
            continue
        layer, name, index = b"", None, 0
        for inner, _, content, entry in fields(value):
            if inner == 1:
                name = content.decode()
            if inner == 7:
                layer += chunk(7, encode(name, index, content))
                index += 1
            else:
                layer += entry
        out += chunk(100, layer)
    return out
