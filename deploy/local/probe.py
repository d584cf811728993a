#!/usr/bin/env python3
"""Asks the servers of deploy/local whether they are there. Standard library only.

probe.py kafka ADDRESS PORT PID SECONDS [TLS]   wait for a metadata answer that names a broker
probe.py cql ADDRESS PORT PID SECONDS [TLS]     wait for the answer to a query; with TLS, first see that there is the user kith
probe.py ring PORT SECONDS ADDRESS...     wait until each node reads at consistency ALL, so sees all the others
probe.py ports [ADDRESS:PORT=WHAT]...     are these free? names those that are not
probe.py offset STEP TRIES ADDRESS:PORT.. the first multiple of STEP which, added to each port, finds all of them free

TLS is a folder of certificates and passwords as `certify` makes it.

Exit: 0 yes; 1 the process PID is gone, or a port is taken; 2 not within SECONDS.
"""

import signal
import socket
import ssl
import struct
import sys
import time

ONE, ALL = 1, 5
QUERY = "SELECT release_version FROM system.local"


def receive(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise OSError("closed")
        data += part
    return data


def connect(address, port, tls, seconds):
    sock = socket.create_connection((address, port), 2)
    sock.settimeout(seconds)
    if tls is None:
        return sock
    context = ssl.create_default_context(cafile=f"{tls}/ca.pem")
    context.load_cert_chain(f"{tls}/client.crt", f"{tls}/client.key")
    return context.wrap_socket(sock, server_hostname=address)


def kafka_answers(address, port, tls=None):
    """Metadata v4 for no topic: a broker is listed once it is registered and unfenced."""
    with connect(address, port, tls, 5) as sock:
        client = b"kith-probe"
        body = struct.pack(">hhih", 3, 4, 7, len(client)) + client + struct.pack(">ib", 0, 0)
        sock.sendall(struct.pack(">i", len(body)) + body)
        answer = receive(sock, struct.unpack(">i", receive(sock, 4))[0])
        correlation, _throttle, brokers = struct.unpack_from(">iii", answer)
        return correlation == 7 and brokers > 0


def cql_frame(sock, opcode, body):
    sock.sendall(struct.pack(">BBhBi", 4, 0, 0, opcode, len(body)) + body)
    _version, _flags, _stream, answer, size = struct.unpack(">BBhBi", receive(sock, 9))
    receive(sock, size)
    return answer


def cql_answers(address, port, query, consistency, tls=None, user=None, password=None):
    with connect(address, port, tls, 10) as sock:
        key, value = b"CQL_VERSION", b"3.0.0"
        startup = struct.pack(">hh", 1, len(key)) + key + struct.pack(">h", len(value)) + value
        answer = cql_frame(sock, 0x01, startup)  # STARTUP
        if answer == 0x03 and user:  # AUTHENTICATE
            token = f"\0{user}\0{password}".encode()
            answer = cql_frame(sock, 0x0F, struct.pack(">i", len(token)) + token)  # AUTH_RESPONSE
        if answer not in (0x02, 0x10):  # READY, AUTH_SUCCESS
            return False
        text = query.encode()
        query_body = struct.pack(">i", len(text)) + text + struct.pack(">hB", consistency, 0)
        return cql_frame(sock, 0x07, query_body) == 0x08  # QUERY, RESULT


def cql_ready(address, port, tls=None):
    if tls is None:
        return cql_answers(address, port, QUERY, ONE)
    with open(f"{tls}/cql.password", encoding="ascii") as file:
        password = file.read().strip()
    # The user that a new database has makes ours.
    role = f"CREATE ROLE IF NOT EXISTS kith WITH LOGIN = true AND PASSWORD = '{password}'"
    return cql_answers(address, port, role, ONE, tls, "cassandra", "cassandra") and cql_answers(
        address, port, QUERY, ONE, tls, "kith", password
    )


def sees_all(address, port):
    # This keyspace is kept three times; a node makes it a moment after it has joined.
    return cql_answers(address, port, "SELECT * FROM system_distributed.view_build_status LIMIT 1", ALL)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def wait(seconds, ask, pid=None):
    deadline = time.monotonic() + seconds
    while True:
        try:
            if ask():
                return 0
        except (OSError, struct.error):
            pass
        if pid is not None and not alive(pid):
            return 1
        if time.monotonic() >= deadline:
            return 2
        time.sleep(0.1)


def free(address, port):
    if not 0 < port < 65536:
        return False
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((address, port))
        except OSError:
            return False
    return True


def place(text):
    address, _, port = text.rpartition(":")
    return address, int(port)


def main(arguments):
    what, rest = arguments[0], arguments[1:]
    if what in ("kafka", "cql"):
        address, port, pid, seconds = rest[0], int(rest[1]), int(rest[2]), float(rest[3])
        tls = rest[4] if len(rest) > 4 else None
        answers = kafka_answers if what == "kafka" else cql_ready
        return wait(seconds, lambda: answers(address, port, tls), pid)
    if what == "ring":
        port, deadline = int(rest[0]), time.monotonic() + float(rest[1])
        for address in rest[2:]:
            code = wait(deadline - time.monotonic(), lambda node=address: sees_all(node, port))
            if code:
                return code
        return 0
    if what == "ports":
        taken = 0
        for item in rest:
            text, _, name = item.partition("=")
            if not free(*place(text)):
                print(f"{text} ({name})")
                taken = 1
        return taken
    if what == "offset":
        step, tries, places = int(rest[0]), int(rest[1]), [place(text) for text in rest[2:]]
        for offset in range(0, step * tries, step):
            if all(free(address, port + offset) for address, port in places):
                print(offset)
                return 0
        return 1
    print(__doc__, file=sys.stderr)
    return 64


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(main(sys.argv[1:]))
