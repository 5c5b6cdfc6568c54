# One file, three images: `api` (api, control and ingest; no torch), `serve` (ONNX Runtime in
# place of torch) and `worker` (the trainer too).
#   docker build --target api -t regraft-api .
#   docker build --target serve -t regraft-serve .
#   docker build --target worker -t regraft-worker .
FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /srv/regraft
RUN useradd --system --create-home --uid 10001 regraft \
    && mkdir /var/lib/regraft && chown regraft /var/lib/regraft
ENV REGRAFT_HOME=/var/lib/regraft REGRAFT_ENV=production
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY regraft regraft
RUN pip install -c constraints.txt '.[server]'
COPY core core
COPY db db

FROM base AS api
COPY api api
COPY worker worker
USER 10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz')"]
CMD ["gunicorn", "-c", "api/gunicorn_conf.py", "-b", "0.0.0.0:8080", "api.wsgi:app"]

FROM base AS serve
RUN pip install -c constraints.txt '.[server,serve]'
COPY worker worker
COPY serve serve
USER 10001
ENV REGRAFT_SERVE_BIND=0.0.0.0:8090
EXPOSE 8090
HEALTHCHECK --interval=10s --timeout=3s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8090/healthz')"]
CMD ["gunicorn", "-c", "serve/gunicorn_conf.py", "serve.wsgi:app"]

FROM base AS worker
RUN pip install -c constraints.txt torch torchvision \
    && pip install -c constraints.txt '.[server,worker]'
COPY worker worker
USER 10001
STOPSIGNAL SIGTERM
CMD ["celery", "-A", "worker.app", "worker", "-Q", "regraft.cpu", "-c", "1", \
     "--without-gossip", "--without-mingle", "--without-heartbeat"]
