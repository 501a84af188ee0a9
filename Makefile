# Short verbs; what they do is in scripts/ and in Rust.

.PHONY: demo demo-stop test test-vectors test-faults test-hw test-interop check bench crash fuzz deb package-test clean-room help

help:            ## this list
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

demo:            ## two real tokens sign a real SBOM; KEEP=1 leaves the daemon running
	@scripts/setup
	@scripts/demo $(if $(KEEP),--keep)

demo-stop:       ## ends what `make demo KEEP=1` left running
	@scripts/demo --stop

test:            ## every test
	@scripts/setup test
	@scripts/test

test-vectors:    ## the vectors in $$SEALWRIGHT_VECTORS
	@scripts/vectors

test-faults:     ## devices on a bad wire: each fault at each answer, a thousand signatures
	@scripts/setup test
	@SEALWRIGHT_FAULTS=long scripts/test --test faults --test card_faults --test security_key_faults -- --nocapture

test-hw:         ## a real YubiKey; opt in with HW=1, see docs/hardware.md
	@scripts/test-hw

test-interop:    ## other people's verifiers over our envelopes
	@scripts/setup interop
	@scripts/interop

check:           ## format, lints, dependency rules
	@scripts/setup check
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	cargo deny --locked check bans licenses sources

bench:           ## raw token, driver process and daemon side by side
	@scripts/setup test
	@scripts/bench

crash:           ## 10 000 crash points of the journal, then the long crash storm
	@scripts/setup test
	@SEALWRIGHT_CRASH_POINTS=10000 scripts/test --test crash_points -- --nocapture
	@SEALWRIGHT_CRASH_KILLS=300 scripts/test --test crash_storm -- --nocapture

fuzz:            ## each parser for FUZZ_SECONDS (default 60)
	@scripts/fuzz

deb:             ## target/deb/sealwright_VERSION_ARCH.deb, from a release build
	@scripts/setup deb
	@scripts/deb

package-test:    ## the package on booted machines: install, sign, attack, upgrade, purge
	@scripts/setup machine
	@scripts/build
	@scripts/package-test

clean-room:      ## RUN="demo test" (default: demo) inside a bare Debian 12 with only the toolchain of this machine
	@scripts/clean-room $(RUN)
