#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The distribution's ixgbe with as many queues as the 82599 has for RSS, which takes a machine of 16 processors. KTAP.

dir=$(dirname -- "$(readlink -f -- "$0")")
. "$dir/lib.sh"
[ "$(id -u)" = 0 ] || skip_all "only root can bind drivers"
[ "$(nproc)" -ge 16 ] || skip_all "ixgbe makes no more queues than there are processors"
read -r A B _ < <(echo $(functions 0x10fb))
[ -n "$B" ] || skip_all "this machine does not have two 82599 (8086:10fb)"

echo 'KTAP version 1'
echo '1..2'
dmesg -n 1
modprobe ixgbe
wait_for 60 has_netdev "$B"
a=$(netdev "$A") b=$(netdev "$B")
ip netns add wire
ip link set "$b" netns wire
ip link set "$a" up
in_ns wire ip link set "$b" up
ip addr add 10.82.0.15/24 dev "$a"
in_ns wire ip addr add 10.82.0.16/24 dev "$b"
wait_for 60 carrier - "$a" && wait_for 60 carrier wire "$b"
[ "$(ls -d /sys/class/net/"$a"/queues/rx-* | wc -l)" -ge 16 ]
result $? "sixteen queues or more"
wait_for 20 ping -c 1 -W 2 -q 10.82.0.16 >/dev/null
ethtool -N "$a" rx-flow-hash udp4 sdfn
in_ns wire bash -c 'for p in $(seq 9001 9200); do echo x >/dev/udp/10.82.0.15/$p; done' 2>/dev/null
sleep 3
used=$(ethtool -S "$a" | awk '/^ *rx_queue_[0-9]+_packets:/ && $2 > 0 { n++ } END { print n + 0 }')
echo "# $used receive queues used"
[ "$used" -ge 16 ]
result $? "RSS spreads flows over all sixteen"
[ "$failures" = 0 ]
