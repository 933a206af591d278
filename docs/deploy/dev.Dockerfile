# Debian 12 with everything that `make test`, `make demo`, `make bench` and
# `make lint` need, for those who work on another system.
#
#   docker build -t quartet-dev -f docs/deploy/dev.Dockerfile .
#   docker run --rm -it -v "$PWD:/src" -v quartet-go:/go quartet-dev make test
#   docker run --rm -it -v "$PWD:/src" -v quartet-go:/go quartet-dev make demo DURATION=30
#
# .ci/deps holds the one list of packages; it is asked for them here so that
# nothing is installed again at each run.
ARG GO_VERSION=1.26
FROM golang:${GO_VERSION}-bookworm
COPY .ci/deps /tmp/deps
RUN /tmp/deps build demo test bench && rm -rf /var/lib/apt/lists/* /tmp/deps \
 && git config --system --add safe.directory /src
# For make build-arm64 and make test-arm64: docker build --build-arg ARM64=yes …
ARG ARM64=
COPY .ci/deps /tmp/deps
RUN if [ -n "$ARM64" ]; then /tmp/deps arm64; fi; rm -rf /var/lib/apt/lists/* /tmp/deps
WORKDIR /src
CMD ["make", "help"]
