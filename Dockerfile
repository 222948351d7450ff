# sandscan as an image, built from the checkout with what uv.lock names, by hash:
#   docker build -t sandscan .
#   docker run --rm -v "$PWD:/work:ro" sandscan scan archive:app.tar
#   docker save app:1 | docker run --rm -i --read-only --network none --cap-drop ALL sandscan scan archive:-
# It needs no engine inside, no root, no capability; /cache is the one place that it writes to.

# any image with Python from 3.11 on, its pip and glibc
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
# where pip finds the locked wheels, if not at its usual index: PIP_NO_INDEX=1 and PIP_FIND_LINKS=wheels, a folder beside this file
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
ENV PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY . .
RUN python3 -m venv --without-pip /opt/sandscan \
    && python3 -m venv --without-pip /opt/build \
    && python3 -m pip --python /opt/sandscan/bin/python3 install --no-deps --require-hashes --only-binary :all: --no-compile \
        -r .github/action/requirements.txt \
    && python3 -m pip --python /opt/build/bin/python3 install --no-deps --require-hashes --only-binary :all: --no-compile \
        -r .github/action/build.txt \
    && python3 -m pip --python /opt/build/bin/python3 wheel --no-deps --no-index --no-build-isolation --wheel-dir /dist . \
    && python3 -m pip --python /opt/sandscan/bin/python3 install --no-deps --no-index --no-compile /dist/*.whl \
    && python3 -m pip --python /opt/sandscan/bin/python3 check \
    && /opt/sandscan/bin/python3 -m compileall -q -j 0 /opt/sandscan/lib

FROM ${BASE}
ARG BASE
LABEL org.opencontainers.image.title="sandscan" \
    org.opencontainers.image.description="Could this agent sandbox mine, tunnel out, or reach what it must not?" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="${BASE}"
COPY --from=build /opt/sandscan /opt/sandscan
# whoever --user says may keep evidence of layers and spool standard input here
RUN mkdir -m 1777 /cache
VOLUME /cache
ENV PATH=/opt/sandscan/bin:$PATH SANDSCAN_CACHE_DIR=/cache/sandscan TMPDIR=/cache PYTHONDONTWRITEBYTECODE=1
WORKDIR /work
USER 65532:65532
ENTRYPOINT ["sandscan"]
