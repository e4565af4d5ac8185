# One image for every role: `serve` runs all of them, `serve --roles worker` only some.
#   docker build -t sendtrail .
#   docker run -p 8025:8025 -v sendtrail:/var/lib/sendtrail sendtrail

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# Downloads and compiled dependencies stay in cache mounts (BuildKit), so that a change of our own
# sources compiles this package alone. Unlike a layer of stub sources, they need no list of targets.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist --bin sendtrail \
 && install -D target/dist/sendtrail /out/sendtrail

FROM debian:bookworm-slim
# The certificates by which the providers are known; nothing else is needed beside the C library.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/sendtrail /usr/local/bin/sendtrail
# A number, so that Kubernetes can see that it is not root (runAsNonRoot).
RUN install -d -o 10001 -g 10001 /var/lib/sendtrail
USER 10001:10001
WORKDIR /var/lib/sendtrail
ENV SENDTRAIL__HTTP__LISTEN=0.0.0.0:8025 \
    SENDTRAIL__DATABASE__URL=sqlite:/var/lib/sendtrail/sendtrail.sqlite
EXPOSE 8025
# No HEALTHCHECK: which one is right depends on the roles, and the image holds no HTTP client.
# Ask GET /readyz (database, migrations) and GET /healthz (process) from outside; compose.yaml shows how.
ENTRYPOINT ["sendtrail"]
CMD ["serve"]
