"""floor.py ARCHIVE: what a scan costs when it is written down plainly. One thread, tarfile, every file read whole,
hashed with SHA-256 and matched against sandscan's compiled rules. Prints how many files, bytes and files hit.
"""

import hashlib
import json
import sys
import tarfile

from scanner.ruleset import load


def main(path: str) -> None:
    rules = load()
    files = size = hits = 0
    with tarfile.open(path) as outer:
        manifest = outer.extractfile("manifest.json")
        assert manifest is not None
        for layer in json.load(manifest)[0]["Layers"]:
            with tarfile.open(fileobj=outer.extractfile(layer)) as tar:
                for member in tar:
                    if not member.isreg():
                        continue
                    content = tar.extractfile(member)
                    assert content is not None
                    data = content.read()
                    hashlib.sha256(data).digest()
                    hits += bool(
                        rules.match(data, seconds=60, path=member.name.encode("utf-8", "surrogateescape")).matches
                    )
                    files += 1
                    size += len(data)
    print(json.dumps({"files": files, "bytes": size, "hits": hits}))


if __name__ == "__main__":
    main(sys.argv[1])
