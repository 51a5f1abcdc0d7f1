#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The distribution's ixgbe and ixgbevf on three 82599: two share a wire, the third has QEMU's user-mode network
# (10.0.2.2). Made for the device model in tools/82599; scripts/test-82599 starts a machine that has all this. KTAP.

dir=$(dirname -- "$(readlink -f -- "$0")")
. "$dir/lib.sh"
ids=$(functions 0x10fb)
[ "$(id -u)" = 0 ] || skip_all "only root can bind drivers"
[ "$(wc -w <<<"$ids")" = 3 ] || skip_all "this machine does not have three 82599 (8086:10fb)"
read -r A B C < <(echo $ids)

note() { sed 's/^/# /'; }
# restart NS: ixgbevf starts over when its interface does; a PF that lost a VF's state waits for that.
restart() {
	in_ns "$1" ip link set eth down
	in_ns "$1" ip link set eth up
}
# stat NS NETDEV NAME: an ethtool statistic.
stat() { in_ns "$1" ethtool -S "$2" | awk -v n="$3:" '$1 == n { print $2 }'; }
# violations PCI: the strict model's counter, through ixgbe's debugfs.
register() {
	echo "read $2" >"/sys/kernel/debug/ixgbe/$1/reg_ops" 2>/dev/null || return
	dmesg | sed -n "s/.*ixgbe $1.*: read 0x0*$2 = //p" | tail -n 1
}

echo 'KTAP version 1'
echo '1..43'
modprobe 8021q
dmesg -n 1

# Probe.
modprobe ixgbe
wait_for 10 has_netdev "$C"
a=$(netdev "$A") b=$(netdev "$B") c=$(netdev "$C")
[ -n "$a" ] && [ -n "$b" ] && [ -n "$c" ]
result $? "ixgbe probes"
ip netns add wire
ip link set "$b" netns wire
ip link set "$a" up
in_ns wire ip link set "$b" up
wait_for 10 carrier - "$a" && wait_for 10 carrier wire "$b"
result $? "the link comes up"
ethtool "$a" | grep -q 'Speed: 10000Mb/s' && ethtool -m "$a" | grep -q '10G Base-SR'
result $? "10 Gb/s over an SFP+ module that can be read"
ip addr add 10.82.0.15/24 dev "$a"
in_ns wire ip addr add 10.82.0.16/24 dev "$b"
ip addr add 10.0.2.15/24 dev "$c"
ip link set "$c" up
wait_for 10 carrier - "$c" && wait_for 5 ping -c 1 -W 1 -q 10.0.2.2 >/dev/null
result $? "the network behind the model answers"
grep -q "$a-TxRx-1" /proc/interrupts
result $? "MSI-X with a vector for each processor"
most=$(ethtool -l "$a" | awk '/^Combined:/ { print $2; exit }')
ethtool -L "$a" combined "$most" && wait_for 10 carrier - "$a" &&
	[ "$(ls -d /sys/class/net/"$a"/queues/rx-* | wc -l)" = "$most" ]
result $? "as many queues as ixgbe wants, $most"
wait_for 5 ping -c 1 -W 1 -q 10.82.0.16 >/dev/null
ethtool -N "$a" rx-flow-hash udp4 sdfn
for p in $(seq 1 60); do in_ns wire bash -c "echo x >/dev/udp/10.82.0.15/$((9000 + p))" 2>/dev/null; done
sleep 1
used=$(ethtool -S "$a" | awk '/^ *rx_queue_[0-9]+_packets:/ && $2 > 0 { n++ } END { print n + 0 }')
echo "# $used receive queues used"
[ $((2 * used)) -gt "$most" ]
result $? "RSS spreads flows over the queues"
ethtool -L "$a" combined 2 && wait_for 10 carrier - "$a"

# Traffic over the wire: segmentation, checksums, LRO.
wait_for 5 ping -c 1 -W 1 -q 10.82.0.16 >/dev/null
flow 50 - wire 10.82.0.16 -t 3 && flow 50 - wire 10.82.0.16 -t 3 -R
result $? "TCP over the wire"
[ "$(stat - "$a" rx_csum_offload_errors)" = 0 ] && [ "$(stat wire "$b" rx_csum_offload_errors)" = 0 ]
result $? "no checksum was wrong"
flow 10 - wire 10.82.0.16 -u -b 50M -t 2
result $? "UDP over the wire"
matches=$(stat - "$a" fdir_match)
echo "# flow director: $matches frames matched, $(stat - "$a" fdir_miss) did not"
[ "$matches" -gt 100 ]
result $? "hash filters of the flow director match what ixgbe calculates"
ethtool -K "$a" lro on && wait_for 10 carrier - "$a" && wait_for 5 ping -c 1 -W 1 -q 10.82.0.16 >/dev/null &&
	flow 50 - wire 10.82.0.16 -t 3 -R && sleep 3 && merged=$(stat - "$a" hw_rsc_aggregated) && [ "$merged" -gt 0 ] &&
	[ "$(stat - "$a" rx_csum_offload_errors)" = 0 ]
result $? "LRO, ${merged:-0} frames merged"
ethtool -K "$a" lro off
wait_for 10 carrier - "$a"
for n in - wire; do in_ns $n ip link set "$([ $n = - ] && echo "$a" || echo "$b")" mtu 9710; done
wait_for 10 carrier - "$a"; wait_for 10 carrier wire "$b"
wait_for 10 ping -c 2 -i 0.2 -W 2 -M do -s 9682 -q 10.82.0.16 >/dev/null
result $? "jumbo frames, 9.5 KB"
for n in - wire; do in_ns $n ip link set "$([ $n = - ] && echo "$a" || echo "$b")" mtu 1500; done
wait_for 10 carrier - "$a"; wait_for 10 carrier wire "$b"
ip link add link "$a" name a.5 type vlan id 5 && ip addr add 10.5.0.1/24 dev a.5 && ip link set a.5 up
in_ns wire ip link add link "$b" name b.5 type vlan id 5
in_ns wire ip addr add 10.5.0.2/24 dev b.5
in_ns wire ip link set b.5 up
wait_for 10 ping -c 2 -i 0.2 -W 1 -q 10.5.0.2 >/dev/null && ethtool -K "$a" rxvlan off txvlan off &&
	wait_for 10 ping -c 2 -i 0.2 -W 1 -q 10.5.0.2 >/dev/null && ethtool -K "$a" rxvlan on txvlan on
result $? "VLAN tags, offloaded and not"
ip link del a.5
ethtool -K "$a" ntuple on && ethtool -N "$a" flow-type udp4 dst-port 9999 action 1 >/dev/null && sleep 1 &&
	before=$(stat - "$a" fdir_match) && wait_for 5 ping -c 1 -W 1 -q 10.82.0.16 >/dev/null &&
	in_ns wire bash -c 'echo x >/dev/udp/10.82.0.15/9999' && sleep 3 && [ "$(stat - "$a" fdir_match)" -gt "$before" ]
result $? "flow director"
ethtool -K "$a" ntuple off
wait_for 10 carrier - "$a"
# Traffic classes: priority 5 gets a second one, with queues 2 and 3.
ip link add link "$a" name a.5 type vlan id 5 && ip addr add 10.5.0.1/24 dev a.5 && ip link set a.5 up
in_ns wire ip link set b.5 type vlan egress 0:5
class() { ethtool -S "$a" | awk '/rx_queue_[23]_packets/ { n += $2 } END { print n + 0 }'; }
dcb dcbx set dev "$a" host ieee && dcb ets set dev "$a" prio-tc all:0 5:1 && wait_for 15 carrier - "$a" &&
	[ "$(ls -d /sys/class/net/"$a"/queues/rx-* | wc -l)" = 4 ] &&
	before=$(class) && in_ns wire ping -c 5 -i 0.2 -W 2 -q 10.5.0.1 >/dev/null && sleep 0.5 &&
	echo "# class 1: $(($(class) - before)) frames" && [ "$(class)" -ge $((before + 5)) ]
result $? "DCB: a priority has a traffic class of its own"
dcb ets set dev "$a" prio-tc all:0 && wait_for 15 carrier - "$a" &&
	[ "$(ls -d /sys/class/net/"$a"/queues/rx-* | wc -l)" = 2 ] &&
	wait_for 10 ping -c 1 -W 1 -q 10.82.0.16 >/dev/null
result $? "DCB off again: $(ethtool -l "$a" | awk '/^Combined:/ { n = $2 } END { print n }') queues"
ip link del a.5
ethtool -T "$a" | grep -q hardware-transmit && [ -e /dev/ptp0 ] && "$dir/82599.py" stamps "$a" wire "$b" 10.82.0.16
result $? "PTP time stamps of both sides"
tx=$(stat - "$a" tx_pkts_nic) rx=$(stat - "$a" rx_pkts_nic) rb=$(stat - "$a" rx_bytes_nic)
wait_for 5 ping -c 1 -W 1 -q 10.82.0.16 >/dev/null
ping -c 20 -i 0.05 -s 1000 -q 10.82.0.16 >/dev/null
sleep 3
tx=$(($(stat - "$a" tx_pkts_nic) - tx)) rx=$(($(stat - "$a" rx_pkts_nic) - rx)) rb=$(($(stat - "$a" rx_bytes_nic) - rb))
echo "# statistics: $tx sent, $rx received, $rb octets received"
[ "$tx" -ge 20 ] && [ "$rx" -ge 20 ] && [ "$rb" -ge 20920 ] && [ "$tx" -lt 60 ] && [ "$rx" -lt 60 ]
result $? "statistics of the MAC"
ethtool -t "$b" offline >/dev/null 2>&1
in_ns wire ethtool -t "$b" offline >/tmp/selftest 2>&1
rc=$?
note </tmp/selftest
[ $rc = 0 ]
result $? "ethtool -t, offline: registers, EEPROM, interrupt, loopback, link"
wait_for 15 carrier wire "$b"

# SR-IOV.
sriov=/sys/bus/pci/devices/$A
echo 0 >"$sriov/sriov_drivers_autoprobe"
echo 63 >"$sriov/sriov_numvfs" && [ "$(ls -d "$sriov"/virtfn* | wc -l)" = 63 ] &&
	[ "$(cat "$sriov/virtfn62/device")" = 0x10ed ]
result $? "63 virtual functions"
echo 0 >"$sriov/sriov_numvfs"
echo 1 >"$sriov/sriov_drivers_autoprobe"
# What the two drivers agree on is in ixgbe's answers.
tracing=/sys/kernel/tracing
mountpoint -q $tracing || mount -t tracefs tracefs $tracing
echo 'p:mailbox ixgbe_write_mbx answer=+0($arg2):x32 version=+4($arg2):u32' >$tracing/kprobe_events
echo 1 >$tracing/events/kprobes/mailbox/enable
modprobe ixgbevf
echo 3 >"$sriov/sriov_numvfs"
vf() { vf_device "$A" "$1"; }
ok=0
for n in 0 1 2; do wait_for 10 has_netdev "$(vf $n)" || ok=1; done
result $ok "ixgbevf probes three"
for n in 0 1 2; do
	ip netns add "vf$n"
	name=$(netdev "$(vf $n)")
	ip link set "$name" netns "vf$n"
	in_ns "vf$n" ip link set "$name" name eth up
	in_ns "vf$n" ip addr add "10.82.0.$((20 + n))/24" dev eth
done
ok=0
for n in 0 1 2; do wait_for 15 carrier "vf$n" eth || ok=1; done
wait_for 15 carrier - "$a" || ok=1
result $ok "their links come up: the mailbox works"
agreed=$(sed -n 's/.*answer=0xa0000008 version=//p' $tracing/trace | sort -u)
echo 0 >$tracing/events/kprobes/mailbox/enable
echo >$tracing/kprobe_events
echo "# ixgbe accepted: ${agreed:-nothing}"
[ "$agreed" = 8 ]
result $? "ixgbevf negotiates mailbox interface 1.7"
[ "$(in_ns vf0 ls /sys/class/net/eth/queues | grep -c rx)" = 2 ]
result $? "two queues for each"
ok=0
for pair in 'vf0 10.82.0.15' 'vf0 10.82.0.21' 'vf1 10.82.0.22' 'vf0 10.82.0.16' 'vf2 10.82.0.15'; do
	read -r ns address <<<"$pair"
	in_ns "$ns" ping -c 2 -i 0.2 -W 2 -q "$address" >/dev/null || { echo "# $pair fails"; ok=1; }
done
result $ok "VF to PF, to VF, to the wire"
flow 50 vf0 vf1 10.82.0.21 -t 3
result $? "TCP between VFs"
flow 50 vf0 - 10.82.0.15 -t 3 -R && flow 50 vf0 - 10.82.0.15 -t 3
result $? "TCP between VF and PF"
flow 50 vf2 wire 10.82.0.16 -t 3 && flow 10 vf2 wire 10.82.0.16 -u -b 50M -t 2
result $? "TCP and UDP between VF and wire"
limited() { flow 10 vf0 - 10.82.0.15 -t 3 && [ "$last" -le 33 ]; }
flow 50 vf0 - 10.82.0.15 -t 2 && ip link set "$a" vf 0 max_tx_rate 30 && limited && ip link set "$a" vf 0 max_tx_rate 0 &&
	flow 50 vf0 - 10.82.0.15 -t 2
result $? "a VF's rate is limited to 30 Mbit/s, and free again"
address=$(in_ns vf1 ip -6 -j addr show dev eth scope link | jq -r '.[0].addr_info[0].local')
wait_for 15 in_ns wire ping -6 -c 1 -W 1 -q -I "$b" "$address" >/dev/null
result $? "multicast reaches a VF: IPv6 neighbours"
in_ns vf0 ip link add link eth name eth.9 type vlan id 9
in_ns vf0 ip addr add 10.6.0.1/24 dev eth.9
in_ns vf0 ip link set eth.9 up
in_ns wire ip link add link "$b" name b.9 type vlan id 9
in_ns wire ip addr add 10.6.0.2/24 dev b.9
in_ns wire ip link set b.9 up
wait_for 15 in_ns vf0 ping -c 1 -W 1 -q 10.6.0.2 >/dev/null
result $? "a VLAN of a VF's own"
"$dir/82599.py" spoof vf0 eth wire "$b"
result $? "frames with another source address do not leave a VF"
[ "$(in_ns vf0 ethtool -S eth | awk '/rx_csum_offload_errors/ { print $2 }')" = 0 ] &&
	[ "$(in_ns vf0 ip -j -s link show eth | jq '.[0].stats64.rx.packets')" -gt 100 ]
result $? "statistics of a VF"
ip link set "$a" vf 1 vlan 7
sleep 3
in_ns vf1 ping -c 1 -W 1 -q 10.82.0.15 >/dev/null
alone=$?
ip link set "$a" vf 1 vlan 0
wait_for 15 in_ns vf1 ping -c 1 -W 1 -q 10.82.0.15 >/dev/null && [ $alone != 0 ]
result $? "a port VLAN separates a VF"
ip link set "$a" vf 2 state disable
wait_for 10 no_carrier vf2 eth
down=$?
ip link set "$a" vf 2 state auto
restart vf2
wait_for 15 carrier vf2 eth && [ $down = 0 ]
result $? "the PF takes a VF's link down and up"
ip link set "$a" down
sleep 1
ip link set "$a" up
wait_for 15 carrier - "$a"
restart vf0
wait_for 30 in_ns vf0 ping -c 1 -W 1 -q 10.82.0.15 >/dev/null
result $? "VFs come back after a reset of the PF"
vf=$(vf 2)
echo "$vf" >/sys/bus/pci/drivers/ixgbevf/unbind && echo 1 >"/sys/bus/pci/devices/$vf/reset" &&
	echo "$vf" >/sys/bus/pci/drivers/ixgbevf/bind && wait_for 10 has_netdev "$vf"
result $? "function level reset of a VF"

# The mailbox without a driver on the VF's side.
ip link set "$a" vf 2 query_rss on
echo "$vf" >/sys/bus/pci/drivers/ixgbevf/unbind && "$dir/82599.py" mailbox "$vf"
result $? "mailbox interface 1.0 to 1.7"
echo "$vf" >/sys/bus/pci/drivers/ixgbevf/bind && wait_for 10 has_netdev "$vf"

# A nested guest owns the VF: its driver, its translation, its interrupts.
nested() {
	[ -e /dev/kvm ] || modprobe -q kvm-amd || return 4
	[ -e "${COMPSC_GUEST_INITRD:-}" ] && [ -e /dev/kvm ] || return 4
	local dir=/tmp/nested name
	name=$(netdev "$vf")
	ip link set "$a" vf 2 mac 02:00:00:00:00:99
	modprobe vfio-pci
	echo "$vf" >/sys/bus/pci/drivers/ixgbevf/unbind
	echo vfio-pci >"/sys/bus/pci/devices/$vf/driver_override"
	echo "$vf" >/sys/bus/pci/drivers/vfio-pci/bind || return 1
	mkdir -p "$dir"
	xz -dc "$(modinfo -n ixgbevf)" >"$dir/ixgbevf.ko"
	cat >"$dir/init" <<-'END'
		#!/bin/busybox sh
		bb=/bin/busybox
		$bb mount -t proc proc /proc
		$bb mount -t sysfs sysfs /sys
		$bb mount -t devtmpfs dev /dev
		$bb insmod /ixgbevf.ko
		for i in 1 2 3 4 5 6 7 8 9 10; do [ -e /sys/class/net/eth0 ] && break; $bb sleep 1; done
		$bb ip addr add 10.82.0.30/24 dev eth0
		$bb ip link set eth0 up
		$bb sleep 4
		echo "address $($bb cat /sys/class/net/eth0/address)"
		$bb ping -c 3 10.82.0.15 && echo "nested guest reached the PF"
		$bb ping -c 3 10.82.0.16 && echo "nested guest reached the wire"
		$bb poweroff -f
	END
	chmod 755 "$dir/init"
	cat "$COMPSC_GUEST_INITRD" >"$dir/initrd"
	truncate -s %512 "$dir/initrd"
	(cd "$dir" && printf '%s\n' init ixgbevf.ko | cpio --quiet -o -H newc) >>"$dir/initrd"
	timeout 100 qemu-system-x86_64 -nodefaults -display none -no-reboot -M q35 -accel kvm -cpu host -m 256 \
		-kernel "/boot/vmlinuz-$(uname -r)" -initrd "$dir/initrd" -append 'console=ttyS0 panic=-1 quiet' \
		-serial stdio -device "vfio-pci,host=$vf" </dev/null >"$dir/log" 2>&1
	tail -n 20 "$dir/log" | note
	echo "$vf" >/sys/bus/pci/drivers/vfio-pci/unbind
	echo >"/sys/bus/pci/devices/$vf/driver_override"
	grep -q 'address 02:00:00:00:00:99' "$dir/log" && grep -q 'reached the PF' "$dir/log" &&
		grep -q 'reached the wire' "$dir/log"
}
nested
case $? in
0) result 0 "a nested guest owns a VF" ;;
4) count=$((count + 1)); echo "ok $count a nested guest owns a VF # SKIP no KVM or no COMPSC_GUEST_INITRD" ;;
*) result 1 "a nested guest owns a VF" ;;
esac
seen=$(register "$A" 1fff4)
echo "# violations of $A: ${seen:-unknown}, the last at $(register "$A" 1fff8)"
[ -n "$seen" ]
result $? "the strict model's counter can be read"

echo 0 >"$sriov/sriov_numvfs" && [ ! -e "$sriov/virtfn0" ]
result $? "the VFs go away"
# The slot is switched off while VFs are in use. The machine goes on.
echo 2 >"$sriov/sriov_numvfs" && wait_for 10 has_netdev "$(vf 1)" && slot=$(grep -ls "^${A%.*}$" /sys/bus/pci/slots/*/address) &&
	ip link set "$(netdev "$(vf 1)")" up && first=$(vf 0) && echo 0 >"$(dirname "$slot")/power" &&
	wait_for 20 [ ! -e "/sys/bus/pci/devices/$A" ] && [ ! -e "/sys/bus/pci/devices/$first" ] &&
	wait_for 5 ping -c 1 -W 1 -q 10.0.2.2 >/dev/null
result $? "hot unplug of the PF with VFs on"
[ "$failures" = 0 ]
