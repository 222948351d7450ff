"""Dockerfiles written in the manner of common open-source projects: what a rule says of them is a false alarm, or meant."""

ORDINARY: dict[str, str] = {
    "python-slim": """\
# syntax=docker/dockerfile:1
ARG PYTHON_VERSION=3.12
FROM python:${PYTHON_VERSION}-slim AS base
ENV PYTHONDONTWRITEBYTECODE=1 \\
    PYTHONUNBUFFERED=1
WORKDIR /app
RUN --mount=type=cache,target=/root/.cache/pip \\
    --mount=type=bind,source=requirements.txt,target=requirements.txt \\
    python -m pip install -r requirements.txt
RUN adduser --disabled-password --gecos "" --uid 10001 appuser
USER appuser
COPY . .
EXPOSE 8000
CMD ["gunicorn", "app:app", "--bind", "0.0.0.0:8000"]
""",
    "poetry": """\
FROM python:3.11-bookworm
ENV POETRY_VERSION=1.8.3 POETRY_HOME=/opt/poetry
RUN pip install --no-cache-dir "poetry==$POETRY_VERSION"
WORKDIR /src
COPY pyproject.toml poetry.lock ./
RUN poetry install --no-root --only main
COPY . .
ENTRYPOINT ["poetry", "run", "python", "-m", "service"]
""",
    "uv": """\
FROM python:3.13-slim
COPY --from=ghcr.io/astral-sh/uv:0.5.9 /uv /uvx /bin/
WORKDIR /app
COPY uv.lock pyproject.toml /app/
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-install-project
ADD . /app
CMD ["uv", "run", "fastapi", "run"]
""",
    "node-multi-stage": """\
FROM node:20-alpine AS deps
RUN apk add --no-cache libc6-compat
WORKDIR /app
COPY package.json package-lock.json* ./
RUN npm ci
FROM node:20-alpine AS builder
WORKDIR /app
COPY --from=deps /app/node_modules ./node_modules
COPY . .
ENV NEXT_TELEMETRY_DISABLED=1
RUN npm run build
FROM node:20-alpine AS runner
WORKDIR /app
ENV NODE_ENV=production
RUN addgroup --system --gid 1001 nodejs && adduser --system --uid 1001 nextjs
COPY --from=builder --chown=nextjs:nodejs /app/.next/standalone ./
USER nextjs
EXPOSE 3000
ENV PORT=3000 HOSTNAME=0.0.0.0
CMD ["node", "server.js"]
""",
    "go-distroless": """\
FROM --platform=$BUILDPLATFORM golang:1.23 AS build
ARG TARGETOS TARGETARCH
WORKDIR /go/src/app
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags="-s -w" -o /go/bin/app ./cmd/app
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /go/bin/app /
ENTRYPOINT ["/app"]
""",
    "go-tools": """\
FROM golang:1.22-bullseye
RUN go install golang.org/x/tools/gopls@latest && \\
    go install github.com/golangci/golangci-lint/cmd/golangci-lint@v1.59.1 && \\
    go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.34.2
WORKDIR /workspace
""",
    "rust-chef": """\
FROM lukemathwalker/cargo-chef:latest-rust-1 AS chef
WORKDIR /app
FROM chef AS planner
COPY . .
RUN cargo chef prepare --recipe-path recipe.json
FROM chef AS builder
COPY --from=planner /app/recipe.json recipe.json
RUN cargo chef cook --release --recipe-path recipe.json
COPY . .
RUN cargo build --release --bin app
FROM debian:bookworm-slim AS runtime
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates libssl3 && rm -rf /var/lib/apt/lists/*
COPY --from=builder /app/target/release/app /usr/local/bin
ENTRYPOINT ["/usr/local/bin/app"]
""",
    "git-and-ssh-client": """\
FROM debian:bookworm-slim
RUN apt-get update \\
 && apt-get install -y --no-install-recommends openssh-client git ca-certificates \\
 && rm -rf /var/lib/apt/lists/*
RUN mkdir -p -m 0700 ~/.ssh && ssh-keyscan github.com >> ~/.ssh/known_hosts
RUN --mount=type=ssh git clone git@github.com:acme/private.git /src
RUN --mount=type=secret,id=deploy_key,target=/root/.ssh/id_ed25519 git -C /src submodule update --init
WORKDIR /src
CMD ["make"]
""",
    "agent-sandbox": """\
FROM ubuntu:24.04
ARG DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get install -y --no-install-recommends \\
    build-essential \\
    # what an agent's shell needs
    curl wget git jq ripgrep \\
    python3 python3-pip python3-venv \\
    tmux vim-tiny \\
    && apt-get clean && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --shell /bin/bash agent
USER agent
WORKDIR /home/agent
CMD ["sleep", "infinity"]
""",
    "conda": """\
FROM mambaorg/micromamba:1.5.8
COPY --chown=$MAMBA_USER:$MAMBA_USER env.yaml /tmp/env.yaml
RUN micromamba install -y -n base -f /tmp/env.yaml && micromamba clean --all --yes
ARG MAMBA_DOCKERFILE_ACTIVATE=1
RUN python -c 'import numpy; print(numpy.__version__)'
""",
    "checked-download": """\
FROM alpine:3.20
ARG TINI_VERSION=v0.19.0
ARG TINI_SHA256=c5b0666b4cb676901f90dfcb37106783c5fe2077b04590973b885950611b30ee
RUN apk add --no-cache curl \\
 && curl -fsSLo /tmp/install.sh https://example.org/releases/${TINI_VERSION}/install.sh \\
 && echo "${TINI_SHA256}  /tmp/install.sh" | sha256sum -c - \\
 && sh /tmp/install.sh \\
 && rm /tmp/install.sh
ENTRYPOINT ["/sbin/tini", "--"]
""",
    "signed-repository": """\
FROM ubuntu:22.04
RUN apt-get update && apt-get install -y ca-certificates curl gnupg \\
 && install -m 0755 -d /etc/apt/keyrings \\
 && curl -fsSL https://download.docker.com/linux/ubuntu/gpg | gpg --dearmor -o /etc/apt/keyrings/docker.gpg \\
 && echo "deb [signed-by=/etc/apt/keyrings/docker.gpg] https://download.docker.com/linux/ubuntu jammy stable" \\
    > /etc/apt/sources.list.d/docker.list \\
 && curl -sL https://packages.example.org/key.asc | tee /etc/apt/trusted.gpg.d/example.asc \\
 && apt-get update && apt-get install -y docker-ce-cli
""",
    "kubectl": """\
FROM alpine:3.20
ARG KUBECTL_VERSION=v1.30.2
RUN apk add --no-cache bash curl \\
 && curl -fsSL -o /usr/local/bin/kubectl https://dl.k8s.io/release/${KUBECTL_VERSION}/bin/linux/amd64/kubectl \\
 && chmod +x /usr/local/bin/kubectl \\
 && kubectl version --client
CMD ["kubectl"]
""",
    "data-fetch": """\
FROM python:3.12
RUN curl -s https://api.github.com/repos/acme/tool/releases/latest | python3 -c "import json,sys; print(json.load(sys.stdin)['tag_name'])" > /version
RUN curl -fsSL https://example.org/data.json | jq -r '.items[]' > /data.txt
ADD https://example.org/models/small.onnx /models/small.onnx
RUN wget -qO- https://example.org/src.tar.gz | tar xz -C /opt
""",
    "nginx": """\
FROM nginx:1.27-alpine
RUN rm /etc/nginx/conf.d/default.conf
COPY nginx.conf /etc/nginx/conf.d/
COPY dist/ /usr/share/nginx/html
HEALTHCHECK --interval=30s CMD wget -qO- http://localhost/healthz || exit 1
""",
    "postgres-extension": """\
FROM postgres:16
RUN apt-get update \\
    && apt-get install -y --no-install-recommends build-essential postgresql-server-dev-16 git \\
    && git clone --branch v0.7.2 https://github.com/pgvector/pgvector.git /tmp/pgvector \\
    && cd /tmp/pgvector && make && make install \\
    && apt-get purge -y --auto-remove build-essential git && rm -rf /tmp/pgvector
COPY init.sql /docker-entrypoint-initdb.d/
""",
    "java": """\
FROM eclipse-temurin:21-jdk AS build
WORKDIR /workspace
COPY gradlew settings.gradle build.gradle ./
COPY gradle gradle
RUN ./gradlew dependencies --no-daemon
COPY src src
RUN ./gradlew bootJar --no-daemon
FROM eclipse-temurin:21-jre
COPY --from=build /workspace/build/libs/*.jar app.jar
ENTRYPOINT ["java", "-jar", "/app.jar"]
""",
    "php": """\
FROM php:8.3-fpm
RUN docker-php-ext-install pdo_mysql opcache
COPY --from=composer:2 /usr/bin/composer /usr/bin/composer
ARG COMPOSER_ALLOW_SUPERUSER=1
COPY composer.json composer.lock /var/www/
RUN composer install --no-dev --no-scripts
""",
    "hardened-sshd-words": """\
FROM rockylinux:9
RUN dnf install -y openssh-clients rsync && dnf clean all
# PermitRootLogin yes is what we do not do
RUN sed -i 's/^PermitRootLogin yes/PermitRootLogin no/; s/PasswordAuthentication yes/PasswordAuthentication no/' /etc/ssh/ssh_config || true
LABEL note="no sshd, no autossh, no ngrok here"
RUN echo "ngrok, chisel and xmrig are not installed" > /etc/motd
""",
    "heredoc": """\
# syntax=docker/dockerfile:1.7
FROM debian:12
RUN <<EOF
set -eux
apt-get update
apt-get install -y --no-install-recommends ca-certificates less
rm -rf /var/lib/apt/lists/*
EOF
COPY <<'CONF' /etc/app.conf
listen = 127.0.0.1
key = changeme
CONF
RUN <<PY
#!/usr/bin/env python3
print("hello")
PY
""",
    "jupyter": """\
FROM quay.io/jupyter/base-notebook:2024-10-07
USER root
RUN apt-get update --yes && apt-get install --yes --no-install-recommends fonts-liberation netcat-openbsd && apt-get clean
USER ${NB_UID}
RUN pip install --no-cache-dir 'altair>=5' bokeh && jupyter labextension disable "@jupyterlab/apputils-extension:announcements"
ARG GPG_KEY=7169605F62C751356D054A26A821E680E5FA6305
ENV SSH_AUTH_SOCK=/agent.sock
""",
    "nodesource": """\
FROM ubuntu:22.04
RUN apt-get update && apt-get install -y curl \\
 && curl -fsSL https://deb.nodesource.com/setup_20.x | bash - \\
 && apt-get install -y nodejs
""",
    "rustup": """\
FROM debian:12
RUN apt-get update && apt-get install -y curl gcc
RUN curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal
ENV PATH=/root/.cargo/bin:$PATH
""",
}
"""By a name; of the last two, that they run what they fetch is true."""

REMOTE_SCRIPTS = frozenset({"nodesource", "rustup"})
