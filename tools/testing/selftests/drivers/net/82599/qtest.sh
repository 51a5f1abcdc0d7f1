#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The 82599 device model in QEMU without a guest: this program is the guest, through QEMU's qtest protocol.
# PLUGIN names the model. Hostile rings, accesses of every size, resets, hot unplug. KTAP.

plugin=${PLUGIN:-}
skip() {
	printf 'KTAP version 1\n1..0 # SKIP %s\n' "$1"
	exit 4
}
[ -e "$plugin" ] || skip "PLUGIN does not name the model (scripts/plugin 82599 builds it)"
command -v qemu-system-x86_64 >/dev/null || skip "no QEMU here"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkfifo "$work/monitor.in" "$work/monitor.out"
coproc QEMU { exec timeout 120 qemu-system-x86_64 -M q35 -m 64 -accel qtest -qtest stdio -qtest-log none -display none \
	-nodefaults -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off -plugin "$plugin" -chardev "pipe,id=monitor,path=$work/monitor" -object monitor-hmp,id=hmp,chardev=monitor \
	-device pcie-root-port,id=root,addr=2.0 -netdev hubport,id=net,hubid=0 \
	-device 82599,id=nic,bus=root,netdev=net,mac=02:82:59:90:00:01,strict=on 2>"$work/stderr"; }
exec 7<>"$work/monitor.in" 8<>"$work/monitor.out"
# A coprocess's own descriptors are closed in background commands.
exec 9>&"${QEMU[1]}"

# q COMMAND...: one command; its value in `reply`.
q() {
	echo "$*" >&9 || return 1
	while read -r -t 20 line <&"${QEMU[0]}"; do
		case $line in
		OK*) reply=${line#OK}; reply=${reply# }; return 0 ;;
		FAIL*) return 1 ;;
		esac
	done
	return 1
}
monitor() { echo "$*" >&7; sleep 0.5; }
# gone: QEMU no longer has the device.
gone() {
	timeout 0.5 cat <&8 >/dev/null
	echo "info qtree" >&7
	timeout 1 cat <&8 >"$work/tree"
	grep -q main-system-bus "$work/tree" && ! grep -q 'dev: 82599' "$work/tree"
}
ecam=0xb0000000
pf=$((ecam + 0x100000))
bar=0xe1000000
vf_bar=0xe1100000
vf_config() { echo $((pf + ((0x80 + 2 * $1) << 12))); }
w() { q writel $(($1)) $(($2)); }
# r ADDRESS: the dword there.
r() { q readl $(($1)) && echo $((reply)); }
is() { [ "$(r "$1")" = $(($2)) ]; }

setup() {
	q outl 0xcf8 0x80000060 && q outl 0xcfc $((ecam | 1))
	local root=$((ecam + 0x10000)) cap header
	# The slot's control register: power and indicators on.
	cap=$(r root+0x34)
	cap=$((cap & 0xff))
	while [ "$cap" != 0 ]; do
		header=$(r root+cap)
		[ $((header & 0xff)) = 16 ] && break
		cap=$((header >> 8 & 0xff))
	done
	control=$((root + cap + 0x18))
	q writew $control 0x01c0
	w root+0x18 0x00010100 && w root+0x20 0xe0f0e000 && w root+0x24 0xe1f1e101 && w root+0x28 0 && w root+0x2c 0
	q writew $((root + 4)) 6
	w pf+0x10 bar && w pf+0x14 0 && w pf+0x20 0xe1080000 && w pf+0x24 0
	q writew $((pf + 4)) 6
	w pf+0x160+0x24 vf_bar && w pf+0x160+0x28 0 && w pf+0x160+0x30 0xe1200000 && w pf+0x160+0x34 0
	q writew $((pf + 0x160 + 0x10)) 64 && q writew $((pf + 0x160 + 8)) 9
	for n in 0 1 63; do q writew $(($(vf_config $n) + 4)) 6; done
}
alive() { is pf 0x10fb8086; }

count=0 failures=0
result() {
	count=$((count + 1))
	if [ "$1" = 0 ]; then echo "ok $count $2"; else
		failures=$((failures + 1))
		echo "not ok $count $2"
		sed 's/^/# /' "$work/stderr"
	fi
}
echo 'KTAP version 1'
echo '1..15'

setup
alive && is "$(vf_config 63)" 0xffffffff && is bar+0x5400 0x90598202
result $? "the function answers"
# ring FUNCTION-BASE TRANSMIT RING BUFFER LENGTH: a queue with one descriptor.
ring() {
	w "$1" "$2" && w "$1+8" 128 && w "$1+0x28" 0x02000000
}
descriptor() { q writeq $(($1)) $(($2)) && q writeq $(($1 + 8)) $(($3)); }
descriptor 0x100000 0x200000 0x0010000029300040
w bar+0x4a80 0x81000001 && ring bar+0x6000 0x100000 && w bar+0x6018 1
is bar+0x6010 1 && is 0x10000c 1 && w bar+0x6028 0
result $? "a frame is sent"
w bar+0x11050 3 && is vf_bar+0x10 0x70000000 && is vf_bar+63*0x4000+0x2fc 0x40
result $? "64 virtual functions answer"

w bar+0x8110 0xffffffff && w bar+0x8120 6 && w bar+0x51b0 1
descriptor 0x101000 0x200000 0x0010000029300040
ring vf_bar+0x2000 0x101000 && w vf_bar+0x2018 1
is vf_bar+0x2010 1 && is 0x10100c 1
result $? "a virtual function sends"
q writew $(($(vf_config 1) + 4)) 2
descriptor 0x102000 0x200000 0x0010000029300040
ring vf_bar+0x4000+0x2000 0x102000 && w vf_bar+0x4000+0x2018 1
is vf_bar+0x4000+0x2010 0 && is 0x10200c 0x00100000
result $? "no memory access without bus mastering"

# What a VF's reset leaves: its head write-back address, and all of the PF.
q writew $(($(vf_config 1) + 4)) 6
for n in 0 1; do w vf_bar+0x4000*$n+0x2038 0x00105001 && w vf_bar+0x4000*$n+0x203c 7; done
w vf_bar+0x108 7 && w vf_bar+0x4000+0x108 7
q writew $(($(vf_config 0) + 0xa8)) 0x8000
q writew $(($(vf_config 0) + 4)) 6
is vf_bar+0x2038 0x00105001 && is vf_bar+0x203c 7 && is vf_bar+0x2028 0 && is vf_bar+0x108 0 && is bar+0x600 1 &&
	is vf_bar+0x4000+0x2028 0x02000000 && is vf_bar+0x4000+0x108 7 && is bar+0x11050 3
result $? "function level reset of a virtual function"
w bar+0x700 1 && w vf_bar+0x2038 0 && w vf_bar+0x4000+0x2038 0

# Strict mode: a write to a register that is read-only, one to a head of a live queue.
before=$(r bar+0x1fff4)
w bar+0x8 5 && w vf_bar+0x4000+0x2010 5 && is vf_bar+0x4000+0x2010 1 && is bar+0x1fff4 before+2 && is bar+0x1fff8 0x6090
counted=$?
# property_is NAME VALUE
property_is() {
	timeout 0.5 cat <&8 >/dev/null
	echo "qom-get /machine/peripheral/nic $1" >&7
	timeout 1 cat <&8 | tr -d '\r' >"$work/property"
	grep -qx "$2" "$work/property"
}
[ $counted = 0 ] && property_is violations $((before + 2))
result $? "violations are counted"
property_is eitr-scale 8
result $? "moderation is scaled unless asked otherwise"

# Rings and buffers in register spaces: the device's own, and another function's.
for target in bar bar+0x6000 vf_bar+0x2000 0xe1080000 0xfffffffffffff000; do
	ring bar+0x6040 $target && w bar+0x6044 $((target >> 32)) && w bar+0x6058 7
	descriptor 0x103000 $target 0x0010000029300fff
	ring bar+0x6080 0x103000 && w bar+0x6098 1 && w bar+0x60a8 0
	ring vf_bar+0x2040 $target && w vf_bar+0x2058 7
done
alive && is bar+0x10148 0x8000
result $? "rings in register spaces do no harm"

# flood COMMANDS: from a file, as fast as QEMU takes them.
flood() {
	local n
	n=$(wc -l <"$1")
	cat "$1" >&9 &
	while [ "$n" -gt 0 ]; do
		read -r -t 20 line <&"${QEMU[0]}" || return 1
		case $line in OK* | FAIL*) n=$((n - 1)) ;; esac
	done
	wait $!
}
awk -v bar=$((bar)) -v vf=$((vf_bar)) 'BEGIN {
	srand(82599)
	split("b w l q", size, " ")
	for (space = 0; space < 2; space++)
		for (offset = 0; offset < (space ? 0x4000 : 0x20000); offset += 3 + int(rand() * 3)) {
			s = size[1 + int(rand() * 4)]
			at = (space ? vf : bar) + offset
			value = int(rand() * 4) ? int(rand() * 4294967296) : (rand() < 0.5 ? 0 : 4294967295)
			printf "write%s %d %d\nread%s %d\n", s, at, value, s, at
		}
}' >"$work/flood"
flood "$work/flood" && q clock_step 1000000000 && alive
result $? "accesses of every size at every place"

monitor system_reset
setup
alive && is bar+0x6028 0 && is bar+0x5400 0x90598202 && is bar+0x11050 0
result $? "a reset of the machine"
q writew $((pf + 0xa0 + 8)) 0x8000
setup
w bar+0x11050 3 && is vf_bar+0x2028 0 && is bar+0x6028 0 && alive
result $? "function level reset"
echo "device_del nic" >&7
sleep 0.5
q writew $control 0x0700
sleep 0.5
is pf 0xffffffff && q clock_step 1000000000 && gone
result $? "hot unplug with virtual functions on"
monitor netdev_del net
monitor netdev_add hubport,id=net2,hubid=0
monitor device_add 82599,id=nic,bus=root,netdev=net2,mac=02:82:59:90:00:01
setup
alive && is bar+0x5400 0x90598202
result $? "hot plug"
# The device writes a received frame, its own, into the control register: it unplugs itself in the middle.
q writeq $((0x200000)) 0x0000000000000700 && q writeq $((0x200008)) 0
descriptor 0x100000 0x200000 0x001000002b300040
for n in 0 1 2 3; do descriptor 0x104000+16*$n $control 0; done
w bar+0x4a80 0x81000001 && w bar+0x4240 0x18078c03 && w bar+0x5080 0x200 && ring bar+0x1000 0x104000
w bar+0x1018 4 && w bar+0x3000 1 && ring bar+0x6000 0x100000 && w bar+0x6018 1
sleep 0.5
is pf 0xffffffff && q clock_step 1000000000 && gone
result $? "a device that unplugs itself"
echo quit >&7
wait "$QEMU_PID" 2>/dev/null
[ "$failures" = 0 ]
