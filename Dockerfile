# syntax=docker/dockerfile:1

# docker build --build-arg VERSION=1.2.3 -t outhook:1.2.3 .
#
# A release pins its image by digest, so that a build is the same tomorrow: look it up on a machine with access to the
# registry, check that it is the one that was meant, and write it behind the tag:
#   docker buildx imagetools inspect golang:1.26-bookworm --format '{{.Manifest.Digest}}'
#   FROM --platform=$BUILDPLATFORM golang:1.26-bookworm@sha256:… AS build
# (The digest of postgres:18 in compose.yaml the same way.) Nothing else is downloaded that go.sum does not hold the hash of.
#
# The compiler runs on the machine's own platform and cross-compiles.
FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
# Static: the last stage has no C library.
ENV CGO_ENABLED=0 GOCACHE=/go/cache

COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download

COPY . .
ARG VERSION=dev
ARG TARGETOS
ARG TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/cache \
    GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.release=$VERSION" -o /out/outhook ./cmd/outhook
RUN echo 'outhook:x:65532:65532:outhook:/:/' >/out/passwd

# No shell and no package manager: nothing to run but outhook. So a health check is `/outhook health`.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/passwd /etc/passwd
COPY --from=build /out/outhook /outhook
# By number, so that Kubernetes' runAsNonRoot can tell.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/outhook"]
CMD ["serve"]
