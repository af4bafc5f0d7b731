# Egress Manager: the API, the jobs and the built-in recorder in one process.
#
#   docker build -t egress-manager .
#   docker run --network host --env-file egress_manager/.env \
#     -v /home/livekit/recordings:/home/livekit/recordings egress-manager

# Every pinned package has wheels for this Python.
FROM python:3.13.9-slim-bookworm AS build
WORKDIR /src
# The versions that were tested, checked by their hashes.
COPY requirements.txt ./
RUN python -m venv /opt/egress-manager \
    && /opt/egress-manager/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
# What the package is made of, and nothing else: see .dockerignore.
COPY pyproject.toml README.md LICENSE ./
COPY egress_manager egress_manager
RUN /opt/egress-manager/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13.9-slim-bookworm
COPY --from=build /opt/egress-manager /opt/egress-manager
# A user of its own. Give the container the user that owns the recordings folder of the host
# (`user:` in docker-compose.egress.yml), or make the folder writable for this one.
RUN useradd --uid 1000 --create-home --home-dir /var/lib/egress-manager egress-manager \
    && mkdir -p /home/livekit/recordings \
    && chown egress-manager: /home/livekit/recordings \
    && chmod 0750 /home/livekit/recordings
ENV PATH=/opt/egress-manager/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RECORDINGS_DIR=/home/livekit/recordings
WORKDIR /var/lib/egress-manager
USER egress-manager
VOLUME /home/livekit/recordings
EXPOSE 5000
# SIGTERM hands rooms over, writes out what is captured and finishes calls that are over: allow it
# 15 seconds. The service ends within 10.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:5000/health', timeout=4)"]
CMD ["uvicorn", "egress_manager.app:app", "--host", "0.0.0.0", "--port", "5000"]
