#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The same guest twice under -icount, side by side: the distribution's ixgbe and ixgbevf do the same work, and all that the
# guest prints has to be the same, its kernel's time stamps, statistics and interrupt counts included. KTAP.
# PLUGIN names the model, INITRD an initial RAM file system with busybox, bash, ip, ethtool and ping.

skip() {
	printf 'KTAP version 1\n1..0 # SKIP %s\n' "$1"
	exit 4
}
[ -e "${PLUGIN:-}" ] || skip "PLUGIN does not name the model (scripts/plugin 82599 builds it)"
[ -e "${INITRD:-}" ] || skip "INITRD does not name an initial RAM file system (scripts/initramfs makes it)"
command -v qemu-system-x86_64 >/dev/null || skip "no QEMU here"
kver=$(ls /lib/modules | tail -n 1)
[ -e "/boot/vmlinuz-$kver" ] || skip "no kernel here"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree"
for module in ixgbe ixgbevf; do
	modprobe -S "$kver" --show-depends "$module" | awk '/^insmod/ { print $2 }' | while read -r file; do
		name=$(basename "$file" .xz)
		xz -dc "$file" >"$work/tree/$name"
		grep -qx "$name" "$work/tree/order" 2>/dev/null || echo "$name" >>"$work/tree/order"
	done
done
cat >"$work/tree/init" <<'END'
#!/usr/bin/bash
export PATH=/usr/bin:/bin
for c in mount cat insmod sleep grep ls mkdir; do eval "$c() { busybox $c \"\$@\"; }"; done
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /run/netns
for m in $(cat /order); do insmod /$m; done
sleep 1
a=$(ls /sys/bus/pci/devices/0000:01:00.0/net) b=$(ls /sys/bus/pci/devices/0000:02:00.0/net)
ip netns add wire
ip link set $b netns wire
ip addr add 10.82.0.15/24 dev $a
ip netns exec wire ip addr add 10.82.0.16/24 dev $b
ip link set $a up
ip netns exec wire ip link set $b up
echo 2 >/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs
sleep 4
v=$(ls /sys/bus/pci/devices/0000:01:00.0/virtfn1/net)
ip netns add vf
ip link set $v netns vf
ip netns exec vf ip addr add 10.82.0.21/24 dev $v
ip netns exec vf ip link set $v up
sleep 4
ping -c 20 -i 0.05 -s 3000 -q 10.82.0.16
ip netns exec vf ping -c 20 -i 0.05 -q 10.82.0.15
ip netns exec vf ping -c 20 -i 0.05 -q 10.82.0.16
ip netns exec wire busybox nc -l -p 5000 >/dev/null &
sleep 1
ip netns exec vf bash -c 'busybox head -c 5000000 /dev/zero >/dev/tcp/10.82.0.16/5000'
sleep 3
echo "== counts"
ethtool -S $a
ip netns exec wire ethtool -S $b
ip netns exec vf ethtool -S $v
grep -e "$a" -e "$b" -e "$v" /proc/interrupts
ethtool -d $a | grep -e FRTIMER -e EICR
cat /proc/uptime
echo "== end"
busybox poweroff -f
END
chmod 755 "$work/tree/init"
cp "$INITRD" "$work/initrd"
truncate -s %512 "$work/initrd"
(cd "$work/tree" && find . ! -name . | cpio --quiet -o -H newc) >>"$work/initrd"

# No clock, and no random number, comes from outside.
run() {
	timeout 240 qemu-system-x86_64 -nodefaults -display none -no-reboot -M q35 -cpu max -smp 1 -m 512 \
		-accel tcg,thread=single -icount shift=0,sleep=off -seed 82599 -rtc base=2026-01-01,clock=vm \
		-kernel "/boot/vmlinuz-$kver" -initrd "$work/initrd" -append 'console=ttyS0 panic=-1 no_timer_check' \
		-serial "file:$work/$1" -plugin "$PLUGIN" \
		-device pcie-root-port,id=root1,chassis=1,slot=1 -netdev hubport,id=wire1,hubid=0 \
		-device 82599,bus=root1,netdev=wire1,mac=02:82:59:90:00:01 \
		-device pcie-root-port,id=root2,chassis=2,slot=2 -netdev hubport,id=wire2,hubid=0 \
		-device 82599,bus=root2,netdev=wire2,mac=02:82:59:90:00:02 >"$work/$1.out" 2>&1 </dev/null
}
echo 'KTAP version 1'
echo '1..2'
run first &
one=$!
run second
wait $one
counts() { sed -n '/^== counts/,/^== end/p' "$work/$1" | tr -d '\r'; }
grep -q '^== end' "$work/first" && counts first | awk '/rx_bytes:/ && $2 > 5000000 { n++ } END { exit !n }' &&
	! grep -q 'packet loss' <(grep -v ' 0% packet loss' "$work/first")
done=$?
if [ $done = 0 ]; then echo "ok 1 the work is done: $(counts first | wc -l) counts"; else
	echo "not ok 1 the work is done"
	tail -n 20 "$work/first" "$work/first.out" | sed 's/^/# /'
fi
different=$(diff "$work/first" "$work/second" | grep -c '^[<>]')
echo "# $(wc -l <"$work/first") lines, $different of both differ"
if [ "$different" = 0 ]; then echo "ok 2 both runs say the same"; else
	echo "not ok 2 both runs say the same"
	diff "$work/first" "$work/second" | head -n 40 | sed 's/^/# /'
fi
[ $done = 0 ] && [ "$different" = 0 ]
