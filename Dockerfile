# A model as a service, with the versions of the lock.
#
#   docker build -t service .
#   docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD/photographs.model:/models/own.model:ro" service
#   docker run --rm -p 127.0.0.1:8000:8000 service smollm2
#
# In the container the server answers to all addresses; it is the -p above that keeps it to your machine.
FROM python:3.12-slim

RUN useradd --create-home reader
WORKDIR /book
COPY requirements.txt ./
RUN python -m pip install --no-cache-dir --no-deps --require-hashes -r requirements.txt
COPY pyproject.toml README.md ./
COPY transferbook ./transferbook
RUN python -m pip install --no-cache-dir --no-deps --no-build-isolation -e .

USER reader
ENV TRANSFERBOOK_CACHE=/home/reader/cache OMP_NUM_THREADS=1
RUN python -m transferbook assets fetch minilm efficientnet_lite0 smollm2

EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health')"]
ENTRYPOINT ["python", "-m", "transferbook", "serve", "--host", "0.0.0.0"]
CMD ["/models/own.model"]
