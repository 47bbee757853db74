# syntax=docker/dockerfile:1

# docker build --build-arg VERSION=1.2.3 -t outhook:1.2.3 .
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
