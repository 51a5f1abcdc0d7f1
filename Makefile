# SPDX-License-Identifier: GPL-2.0
#
# make            kernel modules, for Debian's kernel or that of KDIR=
# make demo       live-migrates a guest under traffic and reports; MIGRATIONS=n (default 4),
#                 FUNCTION=vf|pf: what the guest owns (default vf),
#                 HOST_DRIVER=igb|compsc: driver of the physical function, or with FUNCTION=pf of the adapter
#                 at the other end of the guest's cable (default igb),
#                 DRIVERS=...: what guests run, of compsc, igbvf or igb, virtio, failover (default compsc and the
#                 distribution's)
# make test       everything below build, with a closing line "N passed, N failed"
# make soak       the same with full counts
# make test-82599 the 82599 device model and the distribution's drivers on it, in a VM
# make bench-82599 throughput of the 82599 model beside that of QEMU's igb
# make bench      guest instructions per packet, beside the distribution's driver, of a FUNCTION=vf|pf (default vf)
# make test-netdev the kernel's own selftests of network drivers, with the distribution's drivers and with ours
# make tools      compscctl and the test bed, in build/bin
# make man        manual pages of compscctl, in build/man
# make doc        rustdoc of the crates that cargo knows
# make clean      removes build/
#
# Whatever is missing (host packages, trixie root, kernel build directory) is set up on first use, in
# $XDG_CACHE_HOME/compsc. KERNEL=debug runs tests on a kernel with KASAN, lockdep and kmemleak.

MIGRATIONS ?= 4
HOST_DRIVER ?= igb
FUNCTION ?= vf
DRIVERS ?=
KERNEL ?= stock

.PHONY: all modules tools demo test test-82599 test-netdev soak bench bench-82599 man doc clean

all: modules

modules:
	@scripts/build modules
	@ls -1 build/modules/*.ko

tools:
	@scripts/tools

demo:
	@scripts/demo --migrations $(MIGRATIONS) --host-driver $(HOST_DRIVER) --function $(FUNCTION) \
		$(if $(DRIVERS),--drivers $(DRIVERS))

test:
	@scripts/run-tests --kernel $(KERNEL)

test-82599:
	@scripts/test-82599

soak:
	@scripts/run-tests --kernel $(KERNEL) --soak

bench:
	@FUNCTION=$(FUNCTION) scripts/bench

test-netdev:
	@scripts/netdev-selftests

bench-82599:
	@scripts/test-82599 throughput.sh

man:
	@bin=$$(scripts/tools) && "$$bin/compscctl" man build/man
	@ls -1 build/man/*.1

doc:
	@scripts/cargo doc --no-deps --workspace

clean:
	rm -rf build
