# SPDX-License-Identifier: GPL-2.0
# Shared by the programs in this folder: results, waiting, network namespaces ("-" is the first), throughput. Source it.

skip_all() {
	printf 'KTAP version 1\n1..0 # SKIP %s\n' "$1"
	exit 4
}
count=0 failures=0
result() {
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count $2"
	else
		failures=$((failures + 1))
		echo "not ok $count $2"
		dmesg | tail -n 5 | sed 's/^/# /'
	fi
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.2
	done
}
netdev() { ls "/sys/bus/pci/devices/$1/net" 2>/dev/null | head -n 1; }
has_netdev() { [ -n "$(netdev "$1")" ]; }
carrier() { [ "$(in_ns "$1" cat "/sys/class/net/$2/carrier" 2>/dev/null)" = 1 ]; }
no_carrier() { ! carrier "$@"; }
in_ns() {
	local ns=$1
	shift
	if [ "$ns" = - ]; then "$@"; else ip netns exec "$ns" "$@"; fi
}
# vf_device PCI N: the address of a PF's virtual function.
vf_device() { basename "$(readlink "/sys/bus/pci/devices/$1/virtfn$2")"; }
# functions ID: the functions with this device id.
functions() { grep -ls "$1" /sys/bus/pci/devices/*/device | xargs -r -n1 dirname | xargs -r -n1 basename; }

# flow MBIT FROM TO ADDRESS [OPTION...]: throughput between namespaces, which has to be at least MBIT. Its value is in `last`.
server() { in_ns "$1" iperf3 -s -1 -D -p "$2" >/dev/null; }
port=5200
flow() {
	local least=$1 from=$2 to=$3 address=$4 mbit
	shift 4
	port=$((port + 1))
	server "$to" $port
	sleep 0.3
	mbit=$(in_ns "$from" timeout 40 iperf3 -c "$address" -p $port -J "$@" |
		jq -r '((.end.sum_received // .end.sum).bits_per_second // 0) / 1e6 | floor')
	echo "# $from to $to $*: ${mbit:-0} Mbit/s"
	last=${mbit:-0}
	[ "${mbit:-0}" -ge "$least" ]
}
