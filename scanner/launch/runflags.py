"""The flags of docker's, podman's and nerdctl's commands, and how pflag reads them.

Arity is all that matters of most: a flag that takes a value takes the next word with it. Sources: docker/cli,
cli/command/container/opts.go and cli/command/network/*.go (29); containers/podman, cmd/podman/common/create.go, netflags.go
(5); containerd/nerdctl, cmd/nerdctl/container/container_run.go (2); spf13/pflag, flag.go.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scanner.errors import ParseError
from scanner.launch.shellwords import Word
from scanner.model import printable

ENGINES = ("docker", "podman", "nerdctl")


@dataclass(frozen=True, slots=True)
class Command:
    """`switches` take no value but by `=`, `values` take one; `short` are the letters; `same` other names of a flag.

    `interspersed` False: the first word that is no flag ends the flags.
    """

    name: str
    switches: frozenset[str]
    values: frozenset[str]
    short: Mapping[str, str]
    same: Mapping[str, str]
    interspersed: bool = True


@dataclass(frozen=True, slots=True)
class Flag:
    """`value` is None where a switch stands alone; `word` where the flag stands."""

    name: str
    value: Word | None
    word: Word


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


RUN = Command(
    "run",
    _names(
        """detach disable-content-trust help init interactive no-healthcheck oom-kill-disable privileged publish-all quiet
        read-only rm sig-proxy tty use-api-socket
        env-host http-proxy no-hostname no-hosts no-session passwd read-only-tmpfs replace rmi rootfs tls-verify
        unsetenv-all"""
    ),
    _names(
        """add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns cidfile
        cpu-count cpu-percent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems
        detach-keys device device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops dns
        dns-option dns-search domainname entrypoint env env-file expose gpus group-add health-cmd health-interval
        health-retries health-start-interval health-start-period health-timeout hostname io-maxbandwidth io-maxiops ip
        ip6 ipc isolation kernel-memory label label-file link link-local-ip log-driver log-opt mac-address memory
        memory-reservation memory-swap memory-swappiness mount name network network-alias oom-score-adj pid pids-limit
        platform publish pull restart runtime security-opt shm-size stop-signal stop-timeout storage-opt sysctl tmpfs
        ulimit user userns uts volume volume-driver volumes-from workdir
        arch authfile cert-dir cgroup-conf cgroups chrootdirs conmon-pidfile creds decryption-key env-merge gidmap
        group-entry health-log-destination health-max-log-count health-max-log-size health-on-failure
        health-startup-cmd health-startup-interval health-startup-retries health-startup-success health-startup-timeout
        hosts-file hostuser image-volume init-ctr init-path intel-rdt-clos-id os passwd-entry personality pidfile pod
        pod-id-file preserve-fd preserve-fds requires retry retry-delay sdnotify seccomp-policy secret shm-size-systemd
        signature-policy subgidname subuidname systemd timeout tz uidmap umask unsetenv variant
        cosign-certificate-identity cosign-certificate-identity-regexp cosign-certificate-oidc-issuer
        cosign-certificate-oidc-issuer-regexp cosign-key init-binary ipfs-address rdt-class verify"""
    ),
    {
        "a": "attach",
        "c": "cpu-shares",
        "d": "detach",
        "e": "env",
        "h": "hostname",
        "i": "interactive",
        "l": "label",
        "m": "memory",
        "p": "publish",
        "P": "publish-all",
        "q": "quiet",
        "t": "tty",
        "u": "user",
        "v": "volume",
        "w": "workdir",
    },
    {
        "net": "network",
        "net-alias": "network-alias",
        "dns-opt": "dns-option",
        "override-arch": "arch",
        "override-os": "os",
        "override-variant": "variant",
    },
    interspersed=False,
)
NETWORK_CREATE = Command(
    "network create",
    _names("attachable config-only ingress internal ipv4 ipv6 disable-dns ignore help"),
    _names(
        """aux-address config-from driver gateway ip-range ipam-driver ipam-opt label opt scope subnet
        dns interface-name macvlan route"""
    ),
    {"d": "driver", "o": "opt"},
    {},
)
NETWORK_CONNECT = Command(
    "network connect",
    _names("help"),
    _names("alias driver-opt gw-priority ip ip6 link link-local-ip mac-address"),
    {},
    {},
)
NETWORK_DISCONNECT = Command("network disconnect", _names("force help"), frozenset(), {"f": "force"}, {})
VOLUME_CREATE = Command(
    "volume create",
    _names("ignore help"),
    _names(
        """availability driver group label limit-bytes name opt required-bytes scope secret sharing topology-preferred
        topology-required type gid uid"""
    ),
    {"d": "driver", "o": "opt"},
    {},
)
GLOBAL = Command(
    "docker",
    _names("debug tls tlsverify version help remote syslog transient-store noout trace experimental insecure-registry"),
    _names(
        """config context host log-level tlscacert tlscert tlskey
        cdi-spec-dir cgroup-manager conmon connection events-backend hooks-dir identity imagestore module namespace
        network-cmd-path network-config-dir out pull-option root runroot runtime runtime-flag ssh storage-driver
        storage-opt tls-ca tls-cert tls-key tmpdir url volumepath
        address bridge-ip cni-netconfpath cni-path data-root global-dns host-gateway-ip hosts-dir snapshotter
        userns-remap"""
    ),
    {
        "D": "debug",
        "H": "host",
        "c": "context",
        "l": "log-level",
        "r": "remote",
        "n": "namespace",
        "a": "address",
        "v": "version",
    },
    {},
    interspersed=False,
)


def parse(command: Command, words: Sequence[Word], engine: str = "docker") -> tuple[list[Flag], list[Word]]:
    """The flags in their order, and the words that are none.

    A word that is wholly unknown and may be any number of words (`Word.loose`) is taken for what it stands where a flag may
    stand: the caller asks which. Raises ParseError for a flag that the command does not have, or one without its value.
    """
    flags: list[Flag] = []
    rest: list[Word] = []
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        text = word.text
        if text == "--":
            rest += words[at:]
            break
        if not text.startswith("-") or text == "-":
            if not command.interspersed:
                rest += words[at - 1 :]
                break
            rest.append(word)
            continue
        if text.startswith("--"):
            name, equals, value = text[2:].partition("=")
            known = command.same.get(name, name)
            if known in command.switches:
                flags.append(Flag(known, replace(word, text=value) if equals else None, word))
            elif known in command.values:
                if equals:
                    flags.append(Flag(known, replace(word, text=value), word))
                elif at < len(words):
                    flags.append(Flag(known, words[at], word))
                    at += 1
                else:
                    raise ParseError(f"{word.place}: {engine} {command.name}: --{printable(name)} has no value")
            else:
                raise _unknown(command, f"--{name}", word, engine)
            continue
        letters = text[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            name = command.short.get(letter, "")
            if not name:
                raise _unknown(command, f"-{letter}", word, engine)
            if letters.startswith("="):
                flags.append(Flag(name, replace(word, text=letters[1:]), word))
                break
            if name in command.switches:
                flags.append(Flag(name, None, word))
            elif letters:
                flags.append(Flag(name, replace(word, text=letters), word))
                break
            elif at < len(words):
                flags.append(Flag(name, words[at], word))
                at += 1
            else:
                raise ParseError(f"{word.place}: {engine} {command.name}: -{letter} has no value")
    return flags, rest


def _unknown(command: Command, flag: str, word: Word, engine: str) -> ParseError:
    names = sorted({*command.switches, *command.values, *command.same})
    if flag.startswith("--"):
        close = difflib.get_close_matches(flag[2:][:60], names, 1, 0.6)
    else:
        close = [word.text[1:].partition("=")[0]] if word.text[1:].partition("=")[0] in names else []
    hint = f"; did you mean --{close[0]}?" if close else ""
    return ParseError(f"{word.place}: {engine} {command.name} has no flag {printable(flag, 60)}{hint}")


def truth(value: Word | None) -> bool | None:
    """A switch's value as Go reads it; alone it is true; None if it is none."""
    if value is None:
        return True
    if value.text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    return False if value.text in ("0", "f", "F", "false", "FALSE", "False") else None
