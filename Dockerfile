# One image for web, worker, dispatch, migrate and flower. The base image is an argument: any Debian-like image with
# Python 3.11 to 3.14 does. Everything comes as wheels, so no compiler is in it.
ARG BASE_IMAGE=python:3.13-slim-bookworm
FROM ${BASE_IMAGE}

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PATH=/srv/environment/bin:$PATH

RUN groupadd --gid 10001 videoproc \
    && useradd --uid 10001 --gid videoproc --no-create-home --home-dir /data --shell /usr/sbin/nologin videoproc \
    && install --directory --owner=videoproc --group=videoproc --mode=0700 /data

WORKDIR /srv/videoproc
COPY requirements/runtime.txt requirements/runtime.txt
RUN python3 -m venv /srv/environment \
    && python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary=:all: \
        --requirement requirements/runtime.txt

COPY manage.py celery_app.py pyproject.toml LICENSE ./
COPY deploy deploy
COPY videoproc videoproc
COPY uploads uploads
COPY processing processing

# Static files are part of the image, so the root file system can be read-only. Collecting them needs settings, not
# servers; the values here are used for nothing else.
RUN VIDEOPROC_DATA_DIR=/tmp/build VIDEOPROC_STATIC_DIR=/srv/static VIDEOPROC_MODE=server \
    VIDEOPROC_SECRET_KEY=only-for-collecting-static-files-0123456789abcdefghijklmnopqrstuvwxyz \
    VIDEOPROC_ALLOWED_HOSTS=localhost VIDEOPROC_DATABASE_URL=postgresql://localhost/none \
    VIDEOPROC_BROKER_URL=amqp://none@localhost VIDEOPROC_CHANNEL_LAYER_URL=redis://localhost \
    python manage.py collectstatic --no-input --verbosity 0 \
    && python -m compileall -q /srv/videoproc \
    && rm -rf /tmp/build

USER videoproc
VOLUME /data
EXPOSE 8000
CMD ["python", "-m", "videoproc.serve", "--host", "0.0.0.0"]
