#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Throughput of the 82599 beside that of QEMU's own igb, in one machine and with one kind of traffic: between PF and VF, two
# VFs, a VF and another adapter on the PF's wire; at least half of igb's. A benchmark: wall-clock time, for a quiet machine.
# Needs two of each on a wire. KTAP.
# SECONDS_EACH: how long each takes.

dir=$(dirname -- "$(readlink -f -- "$0")")
. "$dir/lib.sh"
[ "$(id -u)" = 0 ] || skip_all "only root can bind drivers"
ours=$(functions 0x10fb) igb=$(functions 0x10c9)
[ "$(wc -w <<<"$ours")" -ge 2 ] || skip_all "this machine does not have two 82599 (8086:10fb)"
[ "$(wc -w <<<"$igb")" = 2 ] || skip_all "this machine does not have two 82576 (8086:10c9)"
seconds=${SECONDS_EACH:-2}

echo 'KTAP version 1'
echo '1..7'
dmesg -n 1
modprobe -a ixgbe ixgbevf igb igbvf

# put NS PCI ADDRESS: an interface in a namespace.
put() {
	local name
	wait_for 10 has_netdev "$2"
	name=$(netdev "$2")
	[ "$1" = - ] || {
		ip netns add "$1"
		ip link set "$name" netns "$1"
		in_ns "$1" ip link set "$name" name eth
		name=eth
	}
	in_ns "$1" ip addr add "$3/24" dev "$name"
	in_ns "$1" ip link set "$name" up
}
# set_up NAME NET PF OUTSIDE
set_up() {
	local n
	put - "$3" "$2.15"
	put "$1-wire" "$4" "$2.16"
	echo 2 >"/sys/bus/pci/devices/$3/sriov_numvfs"
	for n in 0 1; do put "$1-vf$n" "$(vf_device "$3" $n)" "$2.$((20 + n))"; done
	for n in 15 16 21; do wait_for 30 in_ns "$1-vf0" ping -c 1 -W 1 -q "$2.$n" >/dev/null || return 1; done
}
read -r pf outside _ < <(echo $ours)
read -r igb_pf igb_outside < <(echo $igb)
set_up 82599 10.83.0 "$pf" "$outside" && set_up igb 10.84.0 "$igb_pf" "$igb_outside"
result $? "all reach each other"

# compare WHAT TO ADDRESS [OPTION...]: the best of two of each, by turns, because other load on the machine comes and goes.
compare() {
	local what=$1 to=$2 address=$3 ours=0 theirs=0
	shift 3
	namespace() { [ "$to" = - ] && echo - || echo "$1-$to"; }
	for _ in 1 2; do
		flow 1 82599-vf0 "$(namespace 82599)" "10.83.0.$address" -t "$seconds" "$@"
		[ "$last" -le "$ours" ] || ours=$last
		flow 1 igb-vf0 "$(namespace igb)" "10.84.0.$address" -t "$seconds" "$@"
		[ "$last" -le "$theirs" ] || theirs=$last
	done
	echo "# $what: 82599 $ours Mbit/s, igb $theirs Mbit/s"
	[ "$theirs" -gt 0 ] && [ $((2 * ours)) -ge "$theirs" ]
	result $? "at least half of igb's throughput: $what"
}
while read -r to address name; do
	compare "TCP, $name" "$to" "$address"
	compare "UDP, $name" "$to" "$address" -u -b 0 -l 1400
done <<'END'
- 15 VF to PF
vf1 21 VF to VF
wire 16 VF to outside
END
for n in "$pf" "$igb_pf"; do
	echo 0 >"/sys/bus/pci/devices/$n/sriov_numvfs"
	ip addr flush dev "$(netdev "$n")"
done
modprobe -ra ixgbevf igbvf ixgbe igb
for n in $(ip netns list | awk '{ print $1 }'); do ip netns del "$n"; done
[ "$failures" = 0 ]
