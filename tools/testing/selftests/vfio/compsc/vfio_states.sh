#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs vfio_states on functions of this machine: on those that are bound to compsc_vfio_pci, or, if there are none,
# on two that it makes on an 82576 which has none yet, and removes afterwards.

top=$(CDPATH='' cd -- "$(dirname -- "$0")/../../../../.." && pwd)
modules=${COMPSC_MODULES:-$top/build/modules}
program=${VFIO_STATES:-$top/build/bin/vfio_states}
driver=/sys/bus/pci/drivers/compsc_vfio_pci
pf=

skip() {
	printf 'TAP version 13\n1..0 # SKIP %s\n' "$1"
	exit 4
}

# load MODULE: ours, if it is not there yet.
load() {
	[ -d "/sys/module/$1" ] || insmod "$modules/$1.ko" || skip "$modules/$1.ko cannot be loaded: make modules"
}

undo() {
	[ -z "$pf" ] || echo 0 >"$pf/sriov_numvfs"
	[ -z "$pf" ] || echo "$autoprobe" >"$pf/sriov_drivers_autoprobe"
}

[ "$(id -u)" = 0 ] || skip "only root can bind drivers"
[ -x "$program" ] || skip "$program is missing: make tools"

if [ -z "$(ls -d $driver/0*:* 2>/dev/null)" ]; then
	modprobe -q igb || :
	modprobe -q vfio-pci || skip "this kernel has no vfio-pci"
	modprobe -q vfio_iommu_type1 || :
	load compsc
	load compsc_vfio_pci
	for d in /sys/bus/pci/drivers/igb/0*:*; do
		[ -e "$d/sriov_numvfs" ] && [ "$(cat "$d/device")" = 0x10c9 ] &&
			[ "$(cat "$d/sriov_numvfs")" = 0 ] && pf=$d && break
	done
	[ "$pf" ] || skip "no 82576 (8086:10c9) without virtual functions, and no function is bound to compsc_vfio_pci"
	[ -e "$pf/iommu_group" ] || { pf=; skip "this machine has no IOMMU (kernel command line: intel_iommu=on)"; }
	autoprobe=$(cat "$pf/sriov_drivers_autoprobe")
	trap undo EXIT
	echo 0 >"$pf/sriov_drivers_autoprobe"
	echo 2 >"$pf/sriov_numvfs" || skip "$pf: virtual functions cannot be made"
	# The link and the switch have to be up for interrupts to arrive.
	for n in "$pf"/net/*; do ip link set "${n##*/}" up; done
	for vf in "$pf"/virtfn*; do
		echo compsc_vfio_pci >"$vf/driver_override"
		basename "$(readlink "$vf")" >/sys/bus/pci/drivers_probe
	done
fi
"$program" "$@"
