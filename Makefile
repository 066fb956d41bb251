# The single door to this repository: `make help` lists what there is.

PREFIX ?= /usr/local
DESTDIR ?=

SWIFT ?= swift
FUZZ_SECONDS ?= 60
# Seed of the random numbers; of the moment if it is empty.
FUZZ_SEED ?=
# Of make bench: names (all; see Tests/Benchmarks/bench.py --help), small or full, builds of each.
WORKLOADS ?=
SIZE ?= small
ROUNDS ?= 3
BENCH_FLAGS ?=
RELEASE := .build/release/imgbuild

# The compiler needs the C headers; git and certificates fetch the Swift packages and serve Git contexts.
BUILD_PACKAGES := libcurl4-openssl-dev libarchive-dev libssl-dev zlib1g-dev libisal-dev libzstd-dev \
	libc6-dev pkg-config git ca-certificates binutils make
# debootstrap and umoci make the base images, from Debian's own packages.
DEMO_PACKAGES := debootstrap debian-archive-keyring umoci tar git
# Real registries, real Git, and other people's tools as judges.
TEST_PACKAGES := docker-registry skopeo umoci busybox-static git python3 apache2-utils jq attr libcap2-bin tar \
	python3-venv python3-yaml curl openssl gzip bzip2 xz-utils zstd util-linux procps openssh-client \
	openssh-server git-lfs uidmap runc nginx tinyproxy-bin
# The other builder, a registry to push to, and the programs that parts of a build are compared with.
BENCH_PACKAGES := buildah docker-registry skopeo umoci busybox-static python3 pigz isal tar runc curl openssl
# Another builder, to compare images with.
COMPARE_PACKAGES := buildah skopeo umoci busybox-static jq python3

.DEFAULT_GOAL := help
.PHONY: help swift packages build release install demo test test-large fuzz bench compare format lint clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Swift is the one thing that Debian 12 does not package.
swift:
	@command -v $(SWIFT) >/dev/null || { \
		echo "swift was not found. imgbuild needs Swift $$(cat .swift-version) or newer on Debian 12:"; \
		echo "  https://www.swift.org/install/linux/ (or use the container image swift:6.3-bookworm)"; \
		exit 1; } >&2

packages:
	@scripts/install-packages.sh $(BUILD_PACKAGES)

build: swift packages ## compile for development (.build/debug/imgbuild)
	$(SWIFT) build

release: swift packages ## compile for use: optimised, stripped, Swift linked in (.build/release/imgbuild)
	$(SWIFT) build -c release --product imgbuild --static-swift-stdlib -Xlinker -s

install: release ## install imgbuild to PREFIX (/usr/local)
	install -D -m 0755 $(RELEASE) $(DESTDIR)$(PREFIX)/bin/imgbuild

demo: swift packages ## build a real application's image from its Git commit, with nothing but Debian's packages
	@scripts/install-packages.sh $(DEMO_PACKAGES)
	@scripts/demo.sh

test: swift packages ## run all tests, unit to end to end
	@scripts/install-packages.sh $(TEST_PACKAGES)
	@scripts/install-moto.sh
	$(SWIFT) build --build-tests
	@SWIFT=$(SWIFT) scripts/test.sh

test-large: swift packages ## what takes too long for every run of the tests: 5 GiB to a registry and back (11 GB of disk), Go in every pod
	@scripts/install-packages.sh docker-registry runc python3-venv
	@scripts/base-images.sh "$${XDG_CACHE_HOME:-$$HOME/.cache}/imgbuild-demo/bases"
	$(SWIFT) build --build-tests
	IMGBUILD_TEST_LARGE=1 $(SWIFT) test --skip-build --filter 'hugeBlob|PodMatrixTests/go'

fuzz: swift packages ## give mutated Dockerfiles to the front end for FUZZ_SECONDS (60); what it finds joins the corpus
	$(SWIFT) build --build-tests
	@SWIFT=$(SWIFT) scripts/fuzz.sh $(FUZZ_SECONDS) $(FUZZ_SEED)

bench: release ## measure builds beside Debian's buildah, and parts of builds (as root): WORKLOADS, SIZE, ROUNDS
	@scripts/install-packages.sh $(DEMO_PACKAGES) $(BENCH_PACKAGES)
	@Tests/Benchmarks/bench.py --size $(SIZE) --rounds $(ROUNDS) $(BENCH_FLAGS) $(WORKLOADS)
	@scripts/bench-proc.sh

compare: build ## build every image of testimages with Debian's buildah, too, and compare config and files (as root)
	@scripts/install-packages.sh $(COMPARE_PACKAGES)
	@scripts/compare-with-buildah.sh

format: swift ## lay out the Swift sources
	$(SWIFT) format --in-place --recursive Sources Tests Package.swift

lint: swift ## check the layout, that every import points to a lower floor, and that every error is in docs/troubleshooting.md
	$(SWIFT) format lint --strict --recursive Sources Tests Package.swift
	@scripts/check-floors.sh
	@scripts/check-troubleshooting.py

clean: ## remove what building made (the demo's base images are kept)
	rm -rf .build go-todo.tar
