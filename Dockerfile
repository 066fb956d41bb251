# imgbuild's own image: the command, the libraries it uses, git with what it calls (ssh, LFS), and certificates.
#
#   docker build -t imgbuild .
#   imgbuild --context . --dest REGISTRY/imgbuild:TAG
FROM swift:6.3-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
    libcurl4-openssl-dev libarchive-dev libssl-dev zlib1g-dev libisal-dev libzstd-dev pkg-config git ca-certificates \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Package.swift ./
COPY Sources ./Sources
COPY Tests ./Tests
RUN swift build -c release --product imgbuild --static-swift-stdlib -Xlinker -s \
 && install -D -m 0755 .build/release/imgbuild /out/imgbuild

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="imgbuild" \
      org.opencontainers.image.description="A daemonless builder of container images" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
    libcurl4 libarchive13 libssl3 libisal2 zlib1g libzstd1 git git-lfs openssh-client ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/imgbuild /usr/local/bin/imgbuild
ENTRYPOINT ["imgbuild"]
