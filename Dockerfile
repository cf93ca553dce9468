# syntax=docker/dockerfile:1
# One image for every process of the pool: the command says which one runs (see docker-compose.yml).
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
# Without pip: the environment is copied into the final image, where nothing is installed any more.
RUN python -m venv --without-pip /opt/byom
WORKDIR /src
# Dependencies come first, so that a change of code does not install them again.
COPY pyproject.toml ./
# The usage ledger in a database, traces, and backfills from Parquet files.
ARG EXTRAS="sql otel parquet"
RUN python -c "import sys, tomllib; \
      told = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
      extras = [line for extra in sys.argv[1:] for line in told['optional-dependencies'][extra]]; \
      print(*told['dependencies'], *extras, sep='\n')" ${EXTRAS} > /tmp/requirements.txt \
    && pip --python /opt/byom/bin/python install --requirement /tmp/requirements.txt
COPY README.md LICENSE ./
COPY config config
COPY tasks tasks
COPY workers workers
RUN pip --python /opt/byom/bin/python install --no-deps .

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="byom-workers" \
      org.opencontainers.image.description="Memory extraction with each customer's own LLM credentials" \
      org.opencontainers.image.licenses="Apache-2.0"
# A fixed number, so that volumes keep their owner and orchestrators can insist on a user that is not root.
RUN groupadd --system --gid 10001 byom \
    && useradd --system --uid 10001 --gid byom --home-dir /var/lib/byom --no-create-home --shell /usr/sbin/nologin byom \
    && install --directory --owner=byom --group=byom --mode=0700 \
         /var/lib/byom /var/lib/byom/store /var/lib/byom/flower
COPY --from=build /opt/byom /opt/byom
ENV PATH=/opt/byom/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BYOM_LOG_FORMAT=json \
    BYOM_STORE_URL=file:/var/lib/byom/store/store.json \
    BYOM_HEALTH_FILE=/tmp/byom.health
WORKDIR /var/lib/byom
USER 10001:10001
STOPSIGNAL SIGTERM
# Reads what the worker says of itself; see docs/deployment.md.
HEALTHCHECK --interval=30s --timeout=15s --start-period=30s --retries=3 \
    CMD byom health
CMD ["byom", "worker"]
