# syntax=docker/dockerfile:1
#
#   docker build --tag marketpipe .
#   docker run --rm --volume marketpipe:/data marketpipe ingest --provider synthetic --symbols AAPL --start 2024-07-01
#   docker run --rm --volume marketpipe:/data marketpipe status
#
# The first build compiles DuckDB: half an hour on two cores. Later ones compile it again only when Cargo.toml, Cargo.lock
# or the build script change.
#
# /data is made for uid 65532. For a folder of your own, run as its owner, whose alone it stays:
#
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD/data:/data" marketpipe status

# As `rust-version` of Cargo.toml; .ci/check-version compares.
ARG RUST=1.95

FROM rust:${RUST}-bookworm AS build
WORKDIR /src
ENV CARGO_TERM_COLOR=never

# What is compiled once: the dependencies, for an empty program.
COPY Cargo.toml Cargo.lock ./
COPY .config/link_duckdb.rs .config/
RUN mkdir src \
    && echo 'fn main() {}' >src/main.rs \
    && echo '//! Nothing yet.' >src/lib.rs \
    && cargo build --release --locked \
    && rm -r src

# What is compiled for each change. Its files may be older than what was made of the empty ones, and would not be looked at.
COPY assets assets
COPY config/marketpipe.example.toml config/
COPY migrations migrations
COPY src src
RUN touch src/main.rs src/lib.rs && cargo build --release --locked

# The program by architecture, and nothing else. A release puts the program that it has built already in this stage's place:
#
#   docker buildx build --build-context program=FOLDER ..    with FOLDER/amd64/marketpipe and FOLDER/arm64/marketpipe
FROM scratch AS program
ARG TARGETARCH
COPY --from=build /src/target/release/marketpipe /${TARGETARCH}/marketpipe

# Runs on the machine that builds, whatever the image is for.
FROM --platform=${BUILDPLATFORM} rust:${RUST}-bookworm AS folders
RUN install --directory --mode 0700 /tree/data && install --directory --mode 0755 /tree/work

# C++ library, certificates and time zones; no shell, no package manager, a user that is not root.
FROM gcr.io/distroless/cc-debian13:nonroot
ARG TARGETARCH
LABEL org.opencontainers.image.title="MarketPipe" \
    org.opencontainers.image.description="1-minute stock bars in a Parquet lake: exact, complete or saying precisely what is missing" \
    org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=program --chmod=0755 /${TARGETARCH}/marketpipe /usr/local/bin/marketpipe
# Its owner's alone, as the program makes it. A new named volume takes owner and mode from here.
COPY --from=folders --chown=65532:65532 /tree/data /data
# Relative paths start here: marketpipe.toml, lists of symbols, reports. Not the data directory, which holds no configuration.
COPY --from=folders --chown=65532:65532 /tree/work /work

# A number, so that whoever asks for a user that is not root (Kubernetes) can see it.
USER 65532:65532
ENV MARKETPIPE_DATA_DIR=/data
WORKDIR /work
VOLUME /data
# `metrics serve --listen 0.0.0.0:9464` alone listens, so there is no HEALTHCHECK: other commands end by themselves.
EXPOSE 9464
ENTRYPOINT ["marketpipe"]
CMD ["--help"]
