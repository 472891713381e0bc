"""Changes to the bytes of any file: what `bench.fuzz` makes of whole ones."""


def flip_bits(rng, data):
    data = bytearray(data)
    for place in rng.integers(len(data), size=rng.integers(1, 9)):
        data[place] ^= 1 << int(rng.integers(8))
    return bytes(data), False


def overwrite(rng, data):
    first, last = cut(rng, data)
    return data[:first] + rng.bytes(last - first) + data[last:], False


def truncate(rng, data):
    return data[: int(rng.integers(len(data)))], False


def extend(rng, data):
    return data + rng.bytes(int(rng.integers(1, 100))), False


def take_out(rng, data):
    first, last = cut(rng, data)
    return data[:first] + data[last:], False


def put_in(rng, data):
    first, last = cut(rng, data)
    place = int(rng.integers(len(data)))
    return data[:place] + data[first:last] + data[place:], False


def cut(rng, data):
    """Where a piece of the data begins and ends."""
    first = int(rng.integers(len(data)))
    return first, min(len(data), first + int(rng.integers(1, 65)))


OF_BYTES = (flip_bits, overwrite, truncate, extend, take_out, put_in)
