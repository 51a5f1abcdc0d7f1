# SPDX-License-Identifier: GPL-2.0
# Where this project's modules and programs are, for the test programs beside this file.

top=$(CDPATH='' cd -- "$(dirname -- "$0")/../../../../../.." && pwd)
export COMPSC_MODULES="${COMPSC_MODULES:-$top/build/modules}"
testbed=${TESTBED:-$top/build/bin/testbed}

skip() {
	printf 'KTAP version 1\n1..0 # SKIP %s\n' "$1"
	exit 4
}

[ "$(id -u)" = 0 ] || skip "only root can bind drivers"
[ -x "$testbed" ] || skip "$testbed is missing: make tools"
[ -e "$COMPSC_MODULES/compsc.ko" ] || skip "$COMPSC_MODULES/compsc.ko is missing: make modules"
grep -qs 0x10c9 /sys/bus/pci/devices/*/device || skip "this machine has no 82576 (8086:10c9)"
