#!/usr/bin/python3
"""A CA plugin for certbridged in Python: a private CA in a folder, in one file.

It shows what a plugin in another language than Go must do: the handshake, mutual TLS, the health service, explicit
error details, and the promises of the contract. Orders are files named by their idempotency key.
"""

import base64
import datetime
import ipaddress
import json
import os
import pathlib
import re
import signal
import sys
import tempfile
import threading
from concurrent import futures

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from google.protobuf import any_pb2, duration_pb2

# The code that generate.sh makes of the contract.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "gen"))

import rpc_status_pb2  # noqa: E402
from certbridge.plugin.v1 import ca_pb2, common_pb2  # noqa: E402

COOKIE = ("CERTBRIDGED_PLUGIN", "5b6a1f0e-certbridge-plugin")
CORE_PROTOCOL = 1  # of go-plugin itself
PROTOCOL = 1  # of certbridge.plugin.v1
MAX_MESSAGE = 4 << 20
MAX_NAMES = 1000
KEY = re.compile(r"[0-9a-f]{32}\Z")
NAME = re.compile(r"(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z")
LIFETIME = datetime.timedelta(days=30)
UTC = datetime.timezone.utc


class Failure(Exception):
    """A failure with its kind, which is all the daemon decides by."""

    def __init__(self, kind, message, field=""):
        super().__init__(message)
        self.kind, self.message, self.field = kind, message, field


class Unsupported(Exception):
    """A part of the contract that is not offered."""


def invalid(field, message):
    return Failure(common_pb2.ERROR_KIND_INVALID_REQUEST, message, field)


STATUS = {
    common_pb2.ERROR_KIND_INVALID_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    common_pb2.ERROR_KIND_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    common_pb2.ERROR_KIND_CONFLICT: grpc.StatusCode.FAILED_PRECONDITION,
    common_pb2.ERROR_KIND_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    common_pb2.ERROR_KIND_UNKNOWN_OUTCOME: grpc.StatusCode.UNKNOWN,
}


def abort(context, failure):
    """Ends a call with a gRPC status that carries an ErrorDetail, in the way every gRPC library does it."""
    detail = any_pb2.Any()
    detail.Pack(common_pb2.ErrorDetail(kind=failure.kind, message=failure.message, field=failure.field))
    code = STATUS[failure.kind]
    status = rpc_status_pb2.Status(code=code.value[0], message=failure.message, details=[detail])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, failure.message)


def call(method):
    """Turns what a method raises into a status. An accident in PlaceOrder may have happened after the order was kept."""

    def wrapped(self, request, context):
        try:
            return method(self, request)
        except Failure as failure:
            abort(context, failure)
        except Unsupported as part:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"the plugin does not offer {part}")
        except Exception as accident:  # pylint: disable=broad-except
            print(f"{method.__name__}: {type(accident).__name__}", file=sys.stderr)
            paid = method.__name__ == "PlaceOrder"
            kind = common_pb2.ERROR_KIND_UNKNOWN_OUTCOME if paid else common_pb2.ERROR_KIND_UNAVAILABLE
            abort(context, Failure(kind, f"{method.__name__} failed inside the plugin"))

    return wrapped


class CA:
    """The contract. A method that is not there fails as unimplemented, as one must whose ability is not offered."""

    def __init__(self):
        self.lock = threading.Lock()
        self.dir = None

    @call
    def Describe(self, _):
        field = common_pb2.Field(name="dir", type=common_pb2.FIELD_TYPE_STRING, required=True, help="Folder that holds the CA.")
        token = common_pb2.Field(
            name="token", type=common_pb2.FIELD_TYPE_STRING, secret=True, help="Not used; it shows how a secret arrives."
        )
        return ca_pb2.CAServiceDescribeResponse(
            name="python", version="1", summary="A private CA in a folder, written in Python.",
            abilities=[ca_pb2.ABILITY_FIND_ORDER, ca_pb2.ABILITY_CANCEL, ca_pb2.ABILITY_IP_IDENTIFIERS],
            challenge_types=[common_pb2.CHALLENGE_TYPE_HTTP], account_settings=[field, token],
        )

    @call
    def Configure(self, request):
        settings = dict(request.settings.fields)
        findings = [finding(name, "is not a setting of this plugin") for name in settings if name not in ("dir",)]
        value = settings.get("dir")
        if value is None or value.WhichOneof("kind") != "string_value" or not os.path.isabs(value.string_value):
            findings.append(finding("dir", "is missing or no absolute path"))
        findings += [finding(name, "is not a secret of this plugin") for name in request.secrets if name != "token"]
        if not findings:
            with self.lock:
                if self.dir is not None:
                    raise Failure(common_pb2.ERROR_KIND_CONFLICT, "configured already")
                self.dir = pathlib.Path(value.string_value)
        return ca_pb2.CAServiceConfigureResponse(findings=findings)

    @call
    def PlaceOrder(self, request):
        self.ready()
        order = checked(request.order)
        if order.settings.fields:
            raise invalid("order.settings", "this CA has no order settings")
        record = {
            "csr": base64.b64encode(order.csr).decode(), "chain": [], "canceled": False,
            "names": [identifier.value for identifier in order.identifiers],
        }
        with self.lock:
            self.dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                create(self.path(order.idempotency_key), record)
            except FileExistsError:
                record = self.load(order.idempotency_key)
        return ca_pb2.CAServicePlaceOrderResponse(order=reply(order.idempotency_key, record))

    @call
    def FindOrder(self, request):
        self.ready()
        if request.certificate:
            raise Unsupported("FindOrder by certificate")
        order = checked(request.order)
        return ca_pb2.CAServiceFindOrderResponse(order=reply(order.idempotency_key, self.load(order.idempotency_key)))

    @call
    def GetOrder(self, request):
        return ca_pb2.CAServiceGetOrderResponse(order=self.advance(request))

    @call
    def RespondToChallenges(self, request):
        return ca_pb2.CAServiceRespondToChallengesResponse(order=self.advance(request))

    @call
    def CancelOrder(self, request):
        key, record = self.open(request)
        if record["chain"]:
            raise Failure(common_pb2.ERROR_KIND_CONFLICT, "the certificate is issued")
        with self.lock:
            record["canceled"] = True
            replace(self.path(key), record)
        return ca_pb2.CAServiceCancelOrderResponse(order=reply(key, record))

    def ready(self):
        if self.dir is None:
            raise invalid("", "the plugin is not configured; call Configure first")

    def path(self, key):
        return self.dir / f"order-{key}.json"

    def load(self, key):
        try:
            return json.loads(self.path(key).read_text())
        except FileNotFoundError:
            raise Failure(common_pb2.ERROR_KIND_NOT_FOUND, "there is no such order") from None

    def open(self, request):
        self.ready()
        checked(request.order)
        if not request.reference:
            raise invalid("reference", "is empty")
        key = request.reference.removeprefix("py-")
        if not KEY.match(key):  # it becomes part of a path
            raise Failure(common_pb2.ERROR_KIND_NOT_FOUND, "there is no such order")
        return key, self.load(key)

    def advance(self, request):
        key, _ = self.open(request)
        with self.lock:
            record = self.load(key)
            if not record["chain"] and not record["canceled"]:
                record["chain"] = self.issue(record)
                replace(self.path(key), record)
        return reply(key, record)

    def issue(self, record):
        key, root = self.authority()
        csr = x509.load_der_x509_csr(base64.b64decode(record["csr"]))
        now = datetime.datetime.now(UTC).replace(tzinfo=None)
        leaf = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([])).issuer_name(root.subject).public_key(csr.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=1)).not_valid_after(now + LIFETIME)
            .add_extension(x509.SubjectAlternativeName([general_name(n) for n in record["names"]]), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(csr.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return [base64.b64encode(c.public_bytes(serialization.Encoding.DER)).decode() for c in (leaf, root)]

    def authority(self):
        """Reads the CA, and makes it when there is none. One file holds key and certificate, so both come at once."""
        path = self.dir / "ca.pem"
        if not path.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            root = self_signed(key, "certbridged Python CA", datetime.timedelta(days=3650), "ca.invalid")
            try:
                link(path, private_pem(key) + root.public_bytes(serialization.Encoding.PEM))
            except FileExistsError:
                pass  # another process was first
        text = path.read_bytes()
        return serialization.load_pem_private_key(text, None), x509.load_pem_x509_certificate(text[text.index(b"-----BEGIN CERT"):])


def finding(field, message):
    return common_pb2.Finding(severity=common_pb2.SEVERITY_ERROR, field=field, message=message)


def checked(order):
    """Refuses an order that breaks the contract. In Go, the library does this before the plugin sees it."""
    if not KEY.match(order.idempotency_key):
        raise invalid("order.idempotency_key", "is not 32 lower-case hexadecimal digits")
    if order.kind not in (ca_pb2.ORDER_KIND_NEW, ca_pb2.ORDER_KIND_RENEW, ca_pb2.ORDER_KIND_REISSUE):
        raise invalid("order.kind", "is not known")
    if (order.kind == ca_pb2.ORDER_KIND_NEW) == order.HasField("previous"):
        raise invalid("order.previous", "belongs to a renewal and a reissue")
    try:
        csr = x509.load_der_x509_csr(order.csr)
        if not csr.is_signature_valid:
            raise ValueError
    except (ValueError, UnsupportedAlgorithm):
        raise invalid("order.csr", "is not a signed PKCS#10 request in DER") from None
    if not 1 <= len(order.identifiers) <= MAX_NAMES:
        raise invalid("order.identifiers", f"must be between 1 and {MAX_NAMES}")
    for identifier in order.identifiers:
        try:
            if identifier.type == ca_pb2.IDENTIFIER_TYPE_IP:
                ipaddress.ip_address(identifier.value)
            elif identifier.type != ca_pb2.IDENTIFIER_TYPE_DNS or not NAME.match(identifier.value):
                raise ValueError
        except ValueError:
            raise invalid("order.identifiers", "holds something that is neither a DNS name nor an IP address") from None
    return order


def reply(key, record):
    order = ca_pb2.Order(reference=f"py-{key}")
    if record["chain"]:
        order.status, order.detail = ca_pb2.ORDER_STATUS_ISSUED, "issued"
        order.chain.extend(base64.b64decode(c) for c in record["chain"])
    elif record["canceled"]:
        order.status, order.detail = ca_pb2.ORDER_STATUS_CANCELED, "canceled"
    else:
        order.status, order.detail = ca_pb2.ORDER_STATUS_PROCESSING, "ready to be issued"
        order.look_again_after.CopyFrom(duration_pb2.Duration())  # zero: at once
    return order


def general_name(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def written(path, content):
    """Writes a file beside path, for link or rename to put in place at once."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return name


def link(path, content):
    """Puts a file in place unless one is there, which raises FileExistsError."""
    name = written(path, content)
    try:
        os.link(name, path)
    finally:
        os.unlink(name)


def create(path, record):
    link(path, json.dumps(record).encode())


def replace(path, record):
    os.replace(written(path, json.dumps(record).encode()), path)


def private_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def self_signed(key, name, life, host):
    now = datetime.datetime.now(UTC).replace(tzinfo=None)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1)).not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def contract(plugin):
    """Serves those methods of the service that the plugin has. It saves the code that a gRPC generator would make."""
    handlers = {}
    for method in ca_pb2.DESCRIPTOR.services_by_name["CAService"].methods:
        if behavior := getattr(plugin, method.name, None):
            handlers[method.name] = grpc.unary_unary_rpc_method_handler(
                behavior,
                request_deserializer=getattr(ca_pb2, method.input_type.name).FromString,
                response_serializer=getattr(ca_pb2, method.output_type.name).SerializeToString,
            )
    return grpc.method_handlers_generic_handler("certbridge.plugin.v1.CAService", handlers)


def housekeeping(server):
    """Serves what go-plugin itself asks for. The messages are small enough to be written as bytes."""

    def shutdown(_request, _context):
        threading.Thread(target=server.stop, args=(2,)).start()
        return b""  # plugin.Empty

    def raw(behavior):
        return grpc.unary_unary_rpc_method_handler(behavior)

    serving = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse with status SERVING
    return (
        grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": raw(lambda _request, _context: serving)}),
        grpc.method_handlers_generic_handler("plugin.GRPCController", {"Shutdown": raw(shutdown)}),
    )


def credentials():
    """Mutual TLS for this one process: the host trusts the certificate in the handshake line, and we trust the host's."""
    client = os.environ.get("PLUGIN_CLIENT_CERT", "")
    if not client:
        sys.exit("PLUGIN_CLIENT_CERT is missing: this plugin is only served over mutual TLS")
    key = ec.generate_private_key(ec.SECP256R1())
    own = self_signed(key, "localhost", datetime.timedelta(days=3650), "localhost")
    pem = own.public_bytes(serialization.Encoding.PEM)
    server = grpc.ssl_server_credentials([(private_pem(key), pem)], root_certificates=client.encode(), require_client_auth=True)
    der = own.public_bytes(serialization.Encoding.DER)
    return server, base64.b64encode(der).decode().rstrip("=")


def main():
    if os.environ.get(COOKIE[0]) != COOKIE[1]:
        sys.exit("ca-python is a plugin of certbridged, which starts it when it needs it.")
    if str(PROTOCOL) not in os.environ.get("PLUGIN_PROTOCOL_VERSIONS", "").split(","):
        print(f"the host speaks none of our protocol versions, which is {PROTOCOL}", file=sys.stderr)
    folder = os.environ.get("PLUGIN_UNIX_SOCKET_DIR") or tempfile.gettempdir()
    socket = os.path.join(folder, f"ca-python-{os.getpid()}.sock")
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=32),
        options=[("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.max_send_message_length", MAX_MESSAGE)],
    )
    server.add_generic_rpc_handlers((contract(CA()), *housekeeping(server)))
    secure, certificate = credentials()
    if server.add_secure_port(f"unix:{socket}", secure) == 0:
        sys.exit(f"cannot listen on {socket}")
    server.start()
    signal.signal(signal.SIGTERM, lambda *_: server.stop(grace=2))
    print(f"{CORE_PROTOCOL}|{PROTOCOL}|unix|{socket}|grpc|{certificate}", flush=True)
    server.wait_for_termination()
    pathlib.Path(socket).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
