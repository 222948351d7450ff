"""Write golden.json anew, with Go and BuildKit's parser: `python -m tests.dockerfile.golden`."""

import json
import os
import subprocess
import tempfile
from base64 import b64encode
from pathlib import Path

from tests.dockerfile.cases import FILES, WORDS

HERE = Path(__file__).parent


def main() -> None:
    asked = {
        "files": {name: b64encode(text).decode() for name, text in FILES.items()},
        "words": [{"text": text, "env": env, "escape": escape} for text, env, escape in WORDS],
    }
    with tempfile.TemporaryDirectory() as folder:
        for name in ("main.go", "go.mod"):
            Path(folder, name).write_bytes((HERE / "buildkit" / name).read_bytes())
        env = {**os.environ, "GOFLAGS": "-mod=mod"}
        made = subprocess.run(
            ["go", "run", "."], cwd=folder, env=env, input=json.dumps(asked), capture_output=True, text=True, check=True
        )
    (HERE / "golden.json").write_text(made.stdout)


if __name__ == "__main__":
    main()
