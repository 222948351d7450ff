"""Names of ports as rules are written with them (IANA's registry of service names), the few that are in use."""

SERVICES = {
    "echo": 7, "discard": 9, "daytime": 13, "ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "mail": 25,
    "time": 37, "whois": 43, "domain": 53, "dns": 53, "bootps": 67, "bootpc": 68, "tftp": 69, "gopher": 70, "finger": 79,
    "http": 80, "www": 80, "kerberos": 88, "pop3": 110, "pop-3": 110, "sunrpc": 111, "auth": 113, "nntp": 119, "ntp": 123,
    "epmap": 135, "netbios-ns": 137, "netbios-dgm": 138, "netbios-ssn": 139, "imap": 143, "imap2": 143, "snmp": 161,
    "snmp-trap": 162, "snmptrap": 162, "bgp": 179, "irc": 194, "ldap": 389, "https": 443, "microsoft-ds": 445, "submissions": 465,
    "ssmtp": 465, "isakmp": 500, "syslog": 514, "printer": 515, "submission": 587, "ipp": 631, "ldaps": 636,
    "domain-s": 853, "rsync": 873, "imaps": 993, "pop3s": 995, "socks": 1080, "openvpn": 1194, "ms-sql-s": 1433, "mysql": 3306,
    "nfs": 2049, "docker": 2375, "docker-s": 2376, "zookeeper": 2181, "git": 9418, "svn": 3690, "ms-wbt-server": 3389,
    "ipsec-nat-t": 4500, "sip": 5060, "sip-tls": 5061, "xmpp-client": 5222, "mdns": 5353, "postgresql": 5432, "amqp": 5672,
    "amqps": 5671, "vnc": 5900, "x11": 6000, "redis": 6379, "ircd": 6667, "http-alt": 8080, "webcache": 8080,
}  # fmt: skip
