"""kafka_metadata.py - asks one broker what it believes, in its own protocol and without a library"""
import socket
import struct


class Reader:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def number(self, form):
        value, = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return value

    def text(self):
        length = self.number("h")
        if length < 0:
            return None
        self.at += length
        return self.data[self.at - length:self.at].decode("utf-8")

    def list(self, item):
        return [item() for _ in range(self.number("i"))]


class Metadata:
    """What one broker believes: brokers {id: port}, topics {name: {partition: (leader, replicas, in sync)}}."""

    def __init__(self, data):
        reader = Reader(data)

        def broker():
            number, _, port, _ = reader.number("i"), reader.text(), reader.number("i"), reader.text()
            return number, port

        def partition():
            reader.number("h")
            number, leader = reader.number("i"), reader.number("i")
            replicas = reader.list(lambda: reader.number("i"))
            return number, (leader, replicas, reader.list(lambda: reader.number("i")))

        def topic():
            reader.number("h")
            name, _ = reader.text(), reader.number("b")
            return name, dict(reader.list(partition))

        self.brokers = dict(reader.list(broker))
        reader.number("i")  # the "controller", which is any broker since Kafka has controllers of their own
        self.topics = dict(reader.list(topic))

    def out_of_sync(self):
        return sorted("%s/%d" % (name, number) for name, partitions in self.topics.items()
                      for number, (leader, replicas, in_sync) in partitions.items()
                      if leader < 0 or set(in_sync) != set(replicas))


def metadata(address, seconds=2.0):
    """The answer of the broker at HOST:PORT to a metadata request (key 3, version 1, all topics); None without one."""
    host, _, port = address.rpartition(":")
    client = b"kafka-bed"
    request = struct.pack(">hhih", 3, 1, 1, len(client)) + client + struct.pack(">i", -1)
    try:
        with socket.create_connection((host, int(port)), timeout=seconds) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as answers:
                length, = struct.unpack(">i", answers.read(4))
                body = answers.read(length)
        if len(body) != length:
            return None
        return Metadata(body[4:])  # after the correlation id
    except (OSError, struct.error):
        return None
