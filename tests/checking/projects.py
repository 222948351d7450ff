"""Repositories written in the manner of common projects, whole: what `check` says of them is meant, or a false alarm.

Each has what such a project usually has and what looks like trouble without being it: keys that never enter an image, commands in
substitutions, downloads that are compared, ssh as a client.
"""

WEB_APP: dict[str, str] = {
    "README.md": "# Shop\n\n    curl -fsSL https://get.docker.com | sh\n    docker compose up\n",
    ".dockerignore": ".git\n.env*\n!.env.example\nnode_modules\n**/*.log\ndeploy/\n",
    ".env.example": "POSTGRES_PASSWORD=change-me\n",
    "Dockerfile": """\
FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends libpq5 curl && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
RUN useradd -m app && chown -R app /app
USER app
HEALTHCHECK --interval=10s CMD curl -fsS http://localhost:8000/healthz || exit 1
ENTRYPOINT ["./docker-entrypoint.sh"]
CMD ["gunicorn", "shop.wsgi", "-b", "0.0.0.0:8000"]
""",
    "docker-entrypoint.sh": """\
#!/bin/sh
set -e
until nc -z db 5432; do sleep 1; done
python manage.py migrate --noinput
exec "$@"
""",
    "requirements.txt": "django==5.1\npsycopg[binary]==3.2\ngunicorn==22.0\n",
    "compose.yaml": """\
services:
  nginx:
    image: nginx:1.27
    ports: ["8080:80"]
    volumes:
      - ./nginx.conf:/etc/nginx/conf.d/default.conf:ro
    depends_on: [web]
  web:
    build: .
    environment:
      DATABASE_URL: postgres://shop:${POSTGRES_PASSWORD:-change-me}@db/shop
    depends_on: [db]
  db:
    image: postgres:16
    environment:
      POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:-change-me}
    volumes:
      - data:/var/lib/postgresql/data
volumes:
  data:
""",
    "nginx.conf": "server {\n  listen 80;\n  location / { proxy_pass http://web:8000; }\n}\n",
    "deploy/backup.sh": """\
#!/usr/bin/env bash
set -euo pipefail
STAMP=$(date +%F)
pg_dump "$DATABASE_URL" | gzip > "/backups/shop-$STAMP.sql.gz"
aws s3 cp "/backups/shop-$STAMP.sql.gz" "s3://$BUCKET/"
""",
}

POETRY_SERVICE: dict[str, str] = {
    "pyproject.toml": '[tool.poetry]\nname = "svc"\nversion = "0.1.0"\n[tool.poetry.dependencies]\npython = "^3.12"\nparamiko = "^3.4"\n',
    "Makefile": "lint:\n\tpoetry run ruff check .\nimage:\n\tdocker build -t svc .\n",
    ".dockerignore": "*\n!pyproject.toml\n!poetry.lock\n!svc\n",
    "poetry.lock": "# generated\n",
    "svc/__init__.py": "",
    "svc/main.py": "import subprocess\n\n\ndef version() -> str:\n    return subprocess.run(['git', 'rev-parse', 'HEAD'], capture_output=True, text=True).stdout\n",
    "tests/id_rsa": "no key, only called so\n",
    "Dockerfile": """\
FROM python:3.12-slim AS build
ENV POETRY_VERSION=1.8.3
RUN pip install "poetry==$POETRY_VERSION"
WORKDIR /src
COPY . .
RUN poetry build -f wheel
FROM python:3.12-slim
COPY --from=build /src/dist/*.whl /tmp/
RUN pip install /tmp/*.whl && rm /tmp/*.whl
CMD ["python", "-m", "svc.main"]
""",
}

GO_SERVICE: dict[str, str] = {
    "go.mod": "module example.org/svc\n\ngo 1.23\n",
    "main.go": 'package main\n\nimport "net/http"\n\nfunc main() { _ = http.ListenAndServe(":8080", nil) }\n',
    "Dockerfile": """\
# syntax=docker/dockerfile:1
FROM golang:1.23 AS build
WORKDIR /src
COPY go.* ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -ldflags "-X main.version=$VERSION" -o /out/svc .
FROM build AS test
RUN go test ./...
FROM gcr.io/distroless/static:nonroot
COPY --from=build /out/svc /svc
ENTRYPOINT ["/svc"]
""",
    "hack/tools.sh": """\
#!/usr/bin/env bash
set -o errexit -o nounset -o pipefail
VERSION=$(curl -fsSL https://api.github.com/repos/golangci/golangci-lint/releases/latest | grep tag_name | cut -d'"' -f4)
echo "golangci-lint $VERSION"
curl -fsSLo lint.tar.gz "https://github.com/golangci/golangci-lint/releases/download/$VERSION/golangci-lint-${VERSION#v}-linux-amd64.tar.gz"
echo "$(curl -fsSL "https://github.com/golangci/golangci-lint/releases/download/$VERSION/checksums.txt" | grep linux-amd64.tar.gz)" | sha256sum -c -
until $(curl --output /dev/null --silent --head --fail http://localhost:8080); do
  printf '.'
  sleep 1
done
if [ "$(curl -s -o /dev/null -w '%{http_code}' http://localhost:8080/healthz)" != 200 ]; then exit 1; fi
""",
    ".goreleaser.yaml": "version: 2\nbuilds:\n  - env: [CGO_ENABLED=0]\ndockers:\n  - image_templates: ['example/svc:{{ .Tag }}']\n",
}

NODE_APP: dict[str, str] = {
    "package.json": '{"name": "app", "scripts": {"dev": "next dev", "build": "next build"}, "dependencies": {"next": "15"}}\n',
    ".nvmrc": "20\n",
    ".dockerignore": "node_modules\n.next\n*.pem\n",
    "certs/dev.pem": "no key, only called so\n",
    "Dockerfile.dev": 'FROM node:20\nWORKDIR /app\nCOPY package*.json ./\nRUN npm ci\nCOPY . .\nCMD ["npm", "run", "dev"]\n',
    "docker-compose.dev.yml": """\
services:
  app:
    build:
      context: .
      dockerfile: Dockerfile.dev
      args: {NODE_ENV: development}
    ports: ["3000:3000"]
    volumes: [".:/app", "/app/node_modules"]
""",
    "scripts/release.sh": """\
#!/bin/bash
set -e
eval "$(ssh-agent -s)"
ssh-add - <<< "$DEPLOY_KEY"
ssh -o StrictHostKeyChecking=yes deploy@app.example.org 'cd /srv/app && git pull && pm2 restart app'
npm version "$(date +%Y.%-m.%-d)" --no-git-tag-version
curl -X POST -H "Content-Type: application/json" -d "{\\"text\\": \\"released $(git describe)\\"}" "$SLACK_WEBHOOK"
""",
}

DEVCONTAINER: dict[str, str] = {
    ".devcontainer/devcontainer.json": """\
{
  // for everybody
  "name": "dev",
  "build": {"dockerfile": "Dockerfile", "context": ".."},
  "features": {"ghcr.io/devcontainers/features/github-cli:1": {}},
  "customizations": {"vscode": {"extensions": ["ms-python.python"]}},
  "postCreateCommand": "pip install -r requirements.txt",
  "remoteUser": "vscode"
}
""",
    ".devcontainer/Dockerfile": """\
FROM mcr.microsoft.com/devcontainers/python:3.12
RUN apt-get update && apt-get install -y --no-install-recommends openssh-client jq && rm -rf /var/lib/apt/lists/*
COPY requirements.txt /tmp/
RUN pip install -r /tmp/requirements.txt
""",
    "requirements.txt": "httpx\n",
    "dotfiles/.bashrc": """\
# shellcheck shell=bash
source <(kubectl completion bash)
eval "$(direnv hook bash)"
eval "$(starship init bash)"
eval `dircolors -b`
[ -f ~/.fzf.bash ] && . ~/.fzf.bash
alias myip='curl -s https://ifconfig.me'
""",
}

ML_TRAINING: dict[str, str] = {
    "Dockerfile": """\
FROM nvidia/cuda:12.4.1-cudnn-devel-ubuntu22.04
ENV DEBIAN_FRONTEND=noninteractive CUDA_HOME=/usr/local/cuda
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-pip git wget openmpi-bin openssh-client \\
    && rm -rf /var/lib/apt/lists/*
ARG MINIFORGE=24.3.0-0
RUN wget -q https://github.com/conda-forge/miniforge/releases/download/${MINIFORGE}/Miniforge3-Linux-x86_64.sh -O /tmp/mf.sh \\
    && echo "0123456789abcdef  /tmp/mf.sh" | sha256sum -c - \\
    && bash /tmp/mf.sh -b -p /opt/conda && rm /tmp/mf.sh
RUN pip3 install torch==2.4.0 --index-url https://download.pytorch.org/whl/cu124
RUN pip3 install flash-attn --no-build-isolation && nvidia-smi || true
WORKDIR /workspace
COPY train.py configs/ ./
CMD ["torchrun", "--nproc_per_node=8", "train.py"]
""",
    "train.py": "import os\n\nos.environ.setdefault('NCCL_SOCKET_IFNAME', 'eth0')\n",
    "configs/base.yaml": "model: gpt\nbatch: 32\nlr: 3.0e-4\nworkers: 8\nthreads: 16\n",
    "scripts/sweep.sh": """\
#!/bin/bash
for lr in 1e-4 3e-4; do
  torchrun --nproc_per_node=8 --master_addr "$(hostname -i)" --master_port 29500 train.py --lr "$lr" &
done
wait
rsync -av -e ssh runs/ archive@storage.example.org:/runs/
tensorboard --logdir runs --bind_all
""",
    "slurm/job.sbatch": "#!/bin/bash\n#SBATCH --gres=gpu:8\nsrun --container-image=train python train.py\n",
}

MONOREPO: dict[str, str] = {
    "Makefile": """\
SERVICES := api web
.PHONY: all $(SERVICES)
all: $(SERVICES)
$(SERVICES):
\tdocker build -f build/$@.Dockerfile -t acme/$@ .
tools:
\tcurl -sSfL -o bin/buf https://github.com/bufbuild/buf/releases/download/v1.30.0/buf-Linux-x86_64
\techo "$$(cat tools.sum)" | sha256sum -c
""",
    ".dockerignore": "# secrets\nsecrets\n**/node_modules\nterraform\n",
    "build/api.Dockerfile": 'FROM golang:1.23\nWORKDIR /src\nCOPY . .\nRUN make -C services/api build\nCMD ["/src/services/api/bin/api"]\n',
    "build/web.Dockerfile": "FROM node:20\nWORKDIR /src\nCOPY services/web services/web\nRUN cd services/web && corepack enable && yarn install --immutable\n",
    "build/web.Dockerfile.dockerignore": "*\n!services/web\nservices/web/.env\n",
    "services/api/Makefile": "build:\n\tgo build -o bin/api .\n",
    "services/web/.env": "VITE_API=http://localhost\n",
    "secrets/README.md": "Keys come from the vault.\n",
    "terraform/main.tf": 'resource "aws_key_pair" "deploy" {\n  public_key = file("deploy.pub")\n}\n',
    "terraform/user_data.sh": "#!/bin/bash\napt-get update\napt-get install -y docker.io\nsystemctl enable --now docker\n",
}

WORKFLOWS: dict[str, str] = {
    ".github/workflows/ci.yml": """\
on: [push]
permissions:
  contents: read
jobs:
  test:
    runs-on: ubuntu-24.04
    services:
      redis:
        image: redis:7
        ports: ['6379:6379']
    steps:
      - uses: actions/checkout@v4
      - run: |
          set -e
          VERSION=$(curl -s https://api.example.org/version)
          echo "version=$VERSION" >> "$GITHUB_OUTPUT"
          make test
      - name: deploy
        env:
          KEY: ${{ secrets.DEPLOY_KEY }}
        run: |
          install -m 700 -d ~/.ssh
          echo "$KEY" > ~/.ssh/id_ed25519 && chmod 600 ~/.ssh/id_ed25519
          ssh-keyscan -H app.example.org >> ~/.ssh/known_hosts
          rsync -az --delete dist/ deploy@app.example.org:/srv/app/
          ssh deploy@app.example.org 'sudo systemctl reload app'
""",
    ".github/actions/setup/action.yml": "name: setup\nruns:\n  using: composite\n  steps:\n    - shell: bash\n      run: pip install -r requirements.txt\n",
    ".pre-commit-config.yaml": "repos:\n  - repo: https://github.com/astral-sh/ruff-pre-commit\n    rev: v0.5.0\n    hooks: [{id: ruff}]\n",
}

CHART: dict[str, str] = {
    "chart/Chart.yaml": "apiVersion: v2\nname: svc\nversion: 0.1.0\n",
    "chart/values.yaml": "image: {repository: example/svc, tag: 1.0.0}\nservice: {port: 80}\nreplicas: 2\n",
    "chart/templates/deployment.yaml": """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "svc.name" . }}
spec:
  replicas: {{ .Values.replicas }}
  template:
    spec:
      containers:
        - name: svc
          image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
""",
    "chart/templates/_helpers.tpl": '{{- define "svc.name" -}}svc{{- end -}}\n',
    "deploy/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [namespace.yaml, policy.yaml]\nimages: [{name: svc, newTag: 1.0.0}]\n",
    "deploy/namespace.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: svc}\n",
    "deploy/policy.yaml": """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: svc}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
""",
}

EVAL_HARNESS: dict[str, str] = {
    "evals/swe/compose.yaml": """\
services:
  default:
    build: .
    init: true
    command: tail -f /dev/null
    network_mode: none
    mem_limit: 2g
""",
    "evals/swe/Dockerfile": """\
FROM python:3.12-bookworm
RUN apt-get update && apt-get install -y git ripgrep tmux && rm -rf /var/lib/apt/lists/*
RUN useradd -m agent
COPY --chown=agent tasks/ /home/agent/tasks/
USER agent
WORKDIR /home/agent
""",
    "evals/swe/tasks/one/solution.sh": "#!/bin/bash\nset -e\ncd /home/agent/repo\ngit apply /home/agent/tasks/one/fix.patch\npytest -q\n",
    "evals/swe/tasks/one/fix.patch": "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n",
    "harness/run.py": """\
import subprocess


def run(task: str) -> str:
    command = ["docker", "compose", "-f", "evals/swe/compose.yaml", "run", "--rm", "default", "bash", "-c", task]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False).stdout
""",
    "pyproject.toml": '[project]\nname = "harness"\nversion = "0"\ndependencies = ["inspect-ai"]\n',
}

PROJECTS: dict[str, dict[str, str]] = {
    "web-app": WEB_APP,
    "poetry-service": POETRY_SERVICE,
    "go-service": GO_SERVICE,
    "node-app": NODE_APP,
    "devcontainer": DEVCONTAINER,
    "ml-training": ML_TRAINING,
    "monorepo": MONOREPO,
    "workflows": WORKFLOWS,
    "chart": CHART,
    "eval-harness": EVAL_HARNESS,
}
