"""What a cloud's metadata service would say, without a secret in it: enough that a client asks for more.

AWS EC2 User Guide (instance metadata, IMDSv2), ECS task metadata; Google Cloud, "About VM metadata"; Azure Instance Metadata
Service; Alibaba, DigitalOcean, Oracle and Kubernetes as each documents its own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

_ADDRESSES = {
    "169.254.169.254": "",
    "fd00:ec2::254": "aws",
    "169.254.170.2": "aws-ecs",
    "169.254.170.23": "aws-eks",
    "fd00:ec2::23": "aws-eks",
    "100.100.100.200": "alibaba",
    "168.63.129.16": "azure",
    "metadata.google.internal": "google",
    "metadata": "google",
    "metadata.azure.com": "azure",
    "instance-data": "aws",
}
_PATHS = (
    ("/computemetadata/", "google"),
    ("/latest/api/token", "aws"),
    ("/latest/meta-data", "aws"),
    ("/latest/user-data", "aws"),
    ("/latest/dynamic", "aws"),
    ("/metadata/instance", "azure"),
    ("/metadata/identity", "azure"),
    ("/metadata/scheduledevents", "azure"),
    ("/metadata/attested", "azure"),
    ("/metadata/v1", "digitalocean"),
    ("/opc/v", "oracle"),
    ("/openstack/", "openstack"),
    ("/v2/credentials/", "aws-ecs"),
    ("/v1/credentials", "aws-eks"),
)


@dataclass(frozen=True, slots=True)
class Reply:
    type: str
    body: bytes
    headers: tuple[str, ...] = ()


def cloud(addresses: tuple[str, ...], path: str, headers: Mapping[str, str]) -> str | None:
    """Whose service is asked, `unknown` where only the address says that it is one, None where nothing does.

    `addresses` are the target, the name it was found by and the Host header.
    """
    lower = path.lower()
    if headers.get("metadata-flavor", "").lower() == "google":
        return "google"
    if any(name.startswith("x-aws-ec2-metadata-token") for name in headers):
        return "aws"
    by_path = next((name for begin, name in _PATHS if lower.startswith(begin)), None)
    by_address = next((_ADDRESSES[a] for a in addresses if a in _ADDRESSES), None)
    if by_address is None:
        return by_path if by_path in ("google", "aws") or headers.get("metadata", "").lower() == "true" else None
    return by_address or by_path or "unknown"


def reply(whose: str, path: str) -> Reply:
    """What the service answers to a path; credentials have their names and nothing in them."""
    where = path.partition("?")[0].rstrip("/").lower()
    if whose == "google":
        return Reply(*_google(where), headers=("Metadata-Flavor: Google",))
    if whose == "azure":
        if where.endswith("/oauth2/token"):
            return _json({"access_token": "", "expires_in": "3599", "token_type": "Bearer", "resource": ""})
        return _json({"compute": {"name": "vm", "osType": "Linux"}, "network": {"interface": []}})
    if whose in ("aws-ecs", "aws-eks"):
        return _json({"RoleArn": "", "AccessKeyId": "", "SecretAccessKey": "", "Token": "", "Expiration": _NEVER})
    if where == "/latest/api/token":
        return Reply(
            "text/plain",
            b"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
            (f"X-aws-ec2-metadata-token-ttl-seconds: {6 * 3600}",),
        )
    if where.endswith("/iam/security-credentials"):
        return Reply("text/plain", b"instance")
    if "/iam/security-credentials/" in where:
        empty = {"AccessKeyId": "", "SecretAccessKey": "", "Token": "", "Expiration": _NEVER}
        return _json({"Code": "Success", "Type": "AWS-HMAC"} | empty)
    if where.endswith(("/instance-identity/document", "/opc/v1/instance", "/opc/v2/instance", ".json")):
        return _json({"instanceId": "i-0", "region": "us-east-1"})
    if where.endswith("/user-data"):
        return Reply("text/plain", b"")
    if where.endswith(("/meta-data", "/latest", "/v1")) or not where:
        return Reply("text/plain", b"ami-id\nhostname\niam/\ninstance-id\nlocal-ipv4\nplacement/\n")
    return Reply("text/plain", b"instance")


_NEVER = "2038-01-01T00:00:00Z"


def _json(value: Mapping[str, object]) -> Reply:
    return Reply("application/json", json.dumps(value).encode())


def _google(where: str) -> tuple[str, bytes]:
    if where.endswith("/token"):
        return "application/json", b'{"access_token":"","expires_in":3599,"token_type":"Bearer"}'
    if where.endswith("/service-accounts"):
        return "application/text", b"default/\n"
    if where.endswith("/scopes"):
        return "application/text", b"https://www.googleapis.com/auth/cloud-platform\n"
    if where.endswith("/email"):
        return "application/text", b"default@project.example\n"
    if where.endswith(("/project-id", "/hostname", "/name", "/zone")):
        return "application/text", b"project"
    return "application/text", b"instance/\nproject/\n"
