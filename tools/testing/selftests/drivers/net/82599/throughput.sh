#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Throughput of the 82599 beside that of QEMU's own igb, in one machine and with one kind of traffic: between PF and VF, two
# VFs, a VF and another adapter on the PF's wire, each way, TCP and UDP; the median of the rounds has to be at least half of igb's. A
# benchmark: wall-clock time, for a quiet machine. Needs two of each on a wire. KTAP.
# SECONDS_EACH, ROUNDS: how long each takes, and how often. RESULTS: a file for all figures.

dir=$(dirname -- "$(readlink -f -- "$0")")
. "$dir/lib.sh"
[ "$(id -u)" = 0 ] || skip_all "only root can bind drivers"
ours=$(functions 0x10fb) igb=$(functions 0x10c9)
[ "$(wc -w <<<"$ours")" -ge 2 ] || skip_all "this machine does not have two 82599 (8086:10fb)"
[ "$(wc -w <<<"$igb")" = 2 ] || skip_all "this machine does not have two 82576 (8086:10c9)"
seconds=${SECONDS_EACH:-2} rounds=${ROUNDS:-5}

echo 'KTAP version 1'
echo '1..11'
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

# measure MODEL NET FROM TO HOST [OPTION...]: its value is in `last`.
measure() {
	local model=$1 address=$2.$5 from to
	[ "$3" = - ] && from=- || from=$model-$3
	[ "$4" = - ] && to=- || to=$model-$4
	shift 5
	flow 1 "$from" "$to" "$address" -t "$seconds" "$@"
}
traffic() {
	cat <<-END
		PF to VF	-	vf0	20
		VF to PF	vf0	-	15
		VF to VF	vf0	vf1	21
		VF to wire	vf0	wire	16
		wire to VF	wire	vf0	20
	END
}
samples=$(mktemp)
# The two follow each other, in alternating order: other load on the machine comes and goes.
for round in $(seq "$rounds"); do
	while IFS=$'\t' read -r name from to host; do
		for protocol in TCP UDP; do
			[ $protocol = TCP ] && options='' || options='-u -b 0 -l 1400'
			# shellcheck disable=SC2086 # options have no blanks
			if [ $((round % 2)) = 1 ]; then
				measure 82599 10.83.0 "$from" "$to" "$host" $options; ours=$last
				measure igb 10.84.0 "$from" "$to" "$host" $options; theirs=$last
			else
				measure igb 10.84.0 "$from" "$to" "$host" $options; theirs=$last
				measure 82599 10.83.0 "$from" "$to" "$host" $options; ours=$last
			fi
			printf '%s\t%s\t%s\n' "$protocol, $name" "$ours" "$theirs" >>"$samples"
		done
	done < <(traffic)
done
summary=$(jq -Rn --argjson seconds "$seconds" '
	def median: sort | if length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
	# A round in which igb got nothing through says nothing.
	[inputs | split("\t") | {traffic: .[0], model: .[1] | tonumber, igb: .[2] | tonumber} | select(.igb > 0)] |
	{unit: "Mbit/s", $seconds, cases: (group_by(.traffic) | map({traffic: .[0].traffic,
		"82599": map(.model), igb: map(.igb), ratios: map(.model / .igb * 100 | round / 100)} |
		.median = {"82599": (."82599" | median), igb: (.igb | median), ratio: (.ratios | median)}))}' "$samples")
rm -f "$samples"
[ -z "${RESULTS:-}" ] || echo "$summary" >"$RESULTS"
echo "# Mbit/s, medians          82599      igb    ratio"
while IFS=$'\t' read -r name ours theirs ratio least most good; do
	printf '# %-20s %9s %8s %8s (%s to %s)\n' "$name" "$ours" "$theirs" "$ratio" "$least" "$most"
	[ "$good" = true ]
	result $? "at least half of igb's throughput: $name"
done < <(jq -r '.cases[] | [.traffic, .median."82599", .median.igb, .median.ratio, (.ratios | min, max), .median.ratio >= 0.5] |
	@tsv' <<<"$summary")
for n in "$pf" "$igb_pf"; do
	echo 0 >"/sys/bus/pci/devices/$n/sriov_numvfs"
	ip addr flush dev "$(netdev "$n")"
done
modprobe -ra ixgbevf igbvf ixgbe igb
for n in $(ip netns list | awk '{ print $1 }'); do ip netns del "$n"; done
[ "$failures" = 0 ] && [ "$count" = 11 ]
