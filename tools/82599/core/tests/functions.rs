// SPDX-License-Identifier: GPL-2.0

//! Several functions: mailbox, switch, interrupts.

mod suite;

use model_82599::Config;
use model_82599::Function;
use suite::Bench;
use suite::CONFIG;
use suite::MAC;
use suite::PF;
use suite::frame;
use suite::pool_mac;
use suite::rx_buffer;

const VF0: Function = Function::Vf(0);
const VF1: Function = Function::Vf(1);
const OUTSIDE: [u8; 6] = [0x02, 9, 9, 9, 9, 9];

/// PF with two VFs, each with queue 0 of its pool.
fn bench() -> Bench {
    bench_with(CONFIG)
}

fn bench_with(config: Config) -> Bench {
    let mut bench = Bench::with(config);
    bench.virtualize(2);
    bench.set(0x0018, 1 << 14);
    bench.set(0x0898, 0x10);
    for (function, local, q) in [(VF0, 0, 0), (VF1, 0, 2), (PF, 4, 4)] {
        bench.rx_ring(function, local, q);
        bench.tx_ring(function, local, q);
    }
    for vf in [VF0, VF1] {
        bench.write(vf, 0x0120, 0x8180);
        bench.write(vf, 0x0140, 0x82);
        bench.write(vf, 0x0108, 7);
    }
    bench.set(0x0908, 0x8180);
    bench.set(0x0A00, 0x8200);
    bench.set(0x0AA0, !0);
    bench.set(0x0880, 1 << 19);
    bench.world.interrupts.clear();
    bench.world.violations.clear();
    bench.world.masters.clear();
    bench
}

#[test]
fn mailbox_handshake() {
    let mut bench = bench();
    let _ = bench.read(VF1, 0x02FC);
    // The VF takes the buffer; the PF cannot.
    bench.write(VF1, 0x02FC, 1 << 2);
    bench.set(0x4B04, 1 << 3);
    assert_eq!((bench.read(VF1, 0x02FC) & 0xC, bench.get(0x4B04)), (4, 4));
    for i in 0..16 {
        bench.write(VF1, 0x0200 + 4 * i, 100 + i);
    }
    bench.write(VF1, 0x02FC, 1);
    assert_eq!(bench.get(0x0710), 2, "request of VF 1");
    assert_eq!(bench.get(0x0800) >> 19 & 1, 1);
    assert_eq!(bench.world.interrupts, [(PF, 2)]);
    bench.set(0x0710, 2);
    assert_eq!(bench.get(0x0710), 0);
    bench.set(0x4B04, 1 << 3);
    assert_eq!(bench.get(0x4B04), 8);
    assert_eq!(bench.get(0x13040 + 4 * 15), 115);
    bench.set(0x13040, 7);
    bench.set(0x4B04, 3);
    assert_eq!(bench.world.interrupts[1..], [(VF1, 2)]);
    assert_eq!(
        [0x02FC; 2].map(|o| bench.read(VF1, o)),
        [0x30, 0],
        "PFSTS and PFACK are cleared by a read"
    );
    assert_eq!((bench.read(VF1, 0x0200), bench.read(VF0, 0x0200)), (7, 0));
    bench.write(VF1, 0x02FC, 2);
    assert_eq!(bench.get(0x0710), 2 << 16, "acknowledge of VF 1");
    assert_eq!(bench.device.violations(), 0);
}

#[test]
fn unicast_between_functions_stays_inside() {
    let mut bench = bench();
    bench.transmit(
        VF0,
        0,
        0,
        0,
        &frame(pool_mac(1, 2), pool_mac(0, 2), 0x0800, &[5; 60]),
    );
    assert!(bench.world.sent.is_empty());
    let [_, _, status, length] = bench.rx_status(2, 0);
    assert_eq!((status & 0x4_0003, length), (0x4_0003, 74), "DD, EOP, LB");
    assert_eq!(bench.peek(rx_buffer(2, 0), 6), pool_mac(1, 2));
    assert_eq!(bench.rx_status(4, 0)[2] & 1, 0);
    // Both accesses carry their function's requester id.
    assert_eq!(bench.world.masters, [VF0, VF1, VF0]);
    assert_eq!(bench.world.interrupts, [(VF1, 0), (VF0, 1)]);
    // VFGPTC, VFGOTC and VFGPRC, VFGORC; the PF sees the same counters.
    assert_eq!([0x201C, 0x2020].map(|o| bench.read(VF0, o)), [1, 78]);
    assert_eq!(
        [0x101C, 0x1020, 0x101C].map(|o| bench.read(VF1, o)),
        [1, 78, 1]
    );
    assert_eq!(
        (bench.get(0x8300), bench.get(0x105C), bench.get(0x1060)),
        (1, 1, 78)
    );
}

#[test]
fn broadcast_goes_everywhere_but_back() {
    let mut bench = bench();
    bench.transmit(
        VF0,
        0,
        0,
        0,
        &frame([0xFF; 6], pool_mac(0, 2), 0x0806, &[5; 60]),
    );
    assert_eq!(bench.world.sent.len(), 1);
    assert_eq!([0, 2, 4].map(|q| bench.rx_status(q, 0)[2] & 1), [0, 1, 1]);
    bench.receive(&frame([0xFF; 6], OUTSIDE, 0x0806, &[5; 60]));
    assert_eq!(
        [0, 2, 4].map(|q| bench.rx_status(q, usize::from(q != 0))[2] & 0x4_0001),
        [1, 1, 1]
    );
}

#[test]
fn frames_from_outside_reach_their_pool() {
    let mut bench = bench();
    bench.receive(&frame(pool_mac(1, 2), OUTSIDE, 0x0800, &[5; 60]));
    bench.receive(&frame(MAC, OUTSIDE, 0x0800, &[5; 60]));
    bench.receive(&frame(OUTSIDE, MAC, 0x0800, &[5; 60]));
    assert_eq!([0x1010, 0x1090, 0x1110].map(|o| bench.get(o)), [0, 1, 1]);
    // Promiscuous: the default pool, the PF's, takes the rest.
    bench.set(0x5080, 1 << 9);
    bench.receive(&frame(OUTSIDE, MAC, 0x0800, &[5; 60]));
    assert_eq!([0x1010, 0x1090, 0x1110].map(|o| bench.get(o)), [0, 1, 2]);
    bench.set(0x51E0, !2);
    bench.receive(&frame(pool_mac(1, 2), OUTSIDE, 0x0800, &[5; 60]));
    assert_eq!(bench.get(0x1090), 1, "the pool is off");
}

#[test]
fn each_pool_has_its_own_multicast_and_broadcast_filters() {
    let mut bench = bench();
    // The hash table has one group (index 0x301 for MO = 0), that of unknown unicast addresses the outside's.
    bench.set(0x5090, 4);
    bench.set(0x5200 + 4 * (0x301 >> 5), 1 << (0x301 & 0x1F));
    bench.set(0xF400 + 4 * (0x090 >> 5), 1 << (0x090 & 0x1F));
    let group = frame([0x01, 0, 0x5E, 0, 0x12, 0x30], OUTSIDE, 0x0800, &[5; 60]);
    let another = frame([0x01, 0, 0x5E, 0, 0x77, 0x30], OUTSIDE, 0x0800, &[5; 60]);
    let broadcast = frame([0xFF; 6], OUTSIDE, 0x0806, &[5; 60]);
    let unknown = frame(OUTSIDE, MAC, 0x0800, &[5; 60]);
    let (aupe, rompe, rope, bam, mpe) = (1 << 24, 1 << 25, 1 << 26, 1 << 27, 1 << 28);
    let pools = |bench: &mut Bench, data: &[u8]| {
        let heads = [0x1010, 0x1090, 0x1110].map(|o| bench.get(o));
        bench.receive(data);
        [0, 1, 2].map(|n| bench.get(0x1010 + 0x80 * n as u32) - heads[n])
    };
    for (flags, expected) in [
        ([0, 0, 0], [[0, 0, 0]; 4]),
        ([0, rompe, 0], [[0, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]),
        (
            [mpe, rompe, 0],
            [[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]],
        ),
        ([0, bam, bam], [[0, 0, 0], [0, 0, 0], [0, 1, 1], [0, 0, 0]]),
        ([rope, 0, 0], [[0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0]]),
    ] {
        for (pool, flags) in (0..).zip(flags) {
            bench.set(0xF000 + 4 * pool, aupe | flags);
        }
        let found = [&group, &another, &broadcast, &unknown].map(|f| pools(&mut bench, f));
        assert_eq!(found, expected, "{flags:x?}");
    }
    // Without replication one pool alone gets it.
    bench.set(0x51B0, 1 | 2 << 7);
    for pool in 0..3 {
        bench.set(0xF000 + 4 * pool, aupe | bam);
    }
    assert_eq!(pools(&mut bench, &broadcast), [1, 0, 0]);
    // A pool that does not accept untagged frames.
    bench.set(0xF000, bam);
    assert_eq!(pools(&mut bench, &broadcast), [0, 1, 0]);
}

#[test]
fn a_pool_says_how_many_of_its_queues_rss_uses() {
    let mut bench = bench();
    bench.rx_ring(VF1, 1, 3);
    bench.set(0x5818, 0x0002_000B);
    for i in 0..10 {
        bench.set(0x5C80 + 4 * i, 0x1234_5678u32.rotate_left(i * 5));
    }
    for i in 0..32 {
        bench.set(0x5C00 + 4 * i, 0x0302_0100);
    }
    let send = |bench: &mut Bench| {
        for n in 0..10 {
            let mut packet = suite::tcp(1, b"x");
            packet[15] = n;
            bench.receive(&frame(pool_mac(1, 2), OUTSIDE, 0x0800, &packet));
        }
        [0x1090, 0x10D0].map(|o| bench.get(o))
    };
    assert_eq!(send(&mut bench), [10, 0], "RQPL 0: one queue");
    bench.write(VF1, 0x0300, 1 << 29);
    let [first, second] = send(&mut bench);
    assert!(first + second == 20 && second > 1, "{first} {second}");
}

#[test]
fn vlans_belong_to_pools() {
    let mut bench = bench();
    bench.set(0x5088, 0x4000_8100);
    bench.set(0xA000, 1 << 5);
    bench.set(0xF104, 0x8000_0005);
    bench.set(0xF208, 1 << 1);
    let tagged = |to| frame(to, OUTSIDE, 0x8100, &[0, 5, 8, 0, 1, 2]);
    bench.receive(&tagged(pool_mac(0, 2)));
    bench.receive(&tagged(pool_mac(1, 2)));
    bench.receive(&tagged([0xFF; 6]));
    assert_eq!([0x1010, 0x1090, 0x1110].map(|o| bench.get(o)), [0, 2, 0]);
    // A pool with a VLAN of its own: inserted on the way out, hidden on the way in.
    bench.set(0x8004, 1 << 30 | 5);
    bench.set(0x2F04, 1 << 16 | 2 << 8 | 3);
    bench.transmit(
        VF1,
        0,
        2,
        0,
        &frame(OUTSIDE, pool_mac(1, 2), 0x0800, &[5; 60]),
    );
    assert_eq!(bench.world.sent[0][12..16], [0x81, 0, 0, 5]);
    bench.receive(&tagged(pool_mac(1, 2)));
    let [_, _, status, upper] = bench.rx_status(2, 2);
    assert_eq!(
        (status & 8, upper),
        (0, 56),
        "no tag, and nothing says that there was one"
    );
}

#[test]
fn spoofed_frames_are_dropped_and_counted() {
    let mut bench = bench();
    bench.set(0x8200, 0x0001);
    bench.set(0x8790, 1);
    bench.transmit(
        VF0,
        0,
        0,
        0,
        &frame(OUTSIDE, pool_mac(1, 2), 0x0800, &[5; 60]),
    );
    assert!(bench.world.sent.is_empty());
    assert_eq!([0x8780; 2].map(|o| bench.get(o)), [1, 0], "SSVPC");
    bench.transmit(
        VF0,
        0,
        0,
        1,
        &frame(OUTSIDE, pool_mac(0, 2), 0x0800, &[5; 60]),
    );
    assert_eq!(bench.world.sent.len(), 1);
    // VLAN check: a tag that is not the pool's.
    bench.set(0x8200, 0x0100);
    bench.transmit(
        VF0,
        0,
        0,
        2,
        &frame(OUTSIDE, pool_mac(0, 2), 0x8100, &[0, 5, 8, 0, 1]),
    );
    assert_eq!((bench.world.sent.len(), bench.get(0x8780)), (1, 1));
}

#[test]
fn a_sender_waits_for_a_slow_receiver() {
    let mut bench = bench();
    let data = frame(pool_mac(1, 2), pool_mac(0, 2), 0x0800, &[5; 60]);
    for i in 0..40 {
        bench.transmit(VF0, 0, 0, i % 32, &data);
    }
    assert_eq!(
        bench.read(VF0, 0x2010),
        31,
        "one ring is full, the next frame waits"
    );
    assert_eq!(bench.read(VF1, 0x1010), 31);
    bench.write(VF1, 0x1018, 20);
    assert_eq!(
        (bench.read(VF0, 0x2010), bench.read(VF1, 0x1010)),
        (8, 8),
        "all are through"
    );
    for i in 8..30 {
        bench.transmit(VF0, 0, 0, i, &data);
    }
    assert_eq!(bench.read(VF0, 0x2010), 20);
    bench.pass(30_000_000);
    assert_eq!(
        bench.read(VF0, 0x2010),
        30,
        "after the time of a packet buffer frames are lost"
    );
    assert_eq!(bench.get(0x1430), 10);
}

#[test]
fn vectors_are_moderated_and_masked() {
    let mut bench = bench();
    // 50 us for the PF's vector 0, automatic mask and clear.
    bench.set(0x0820, 25 << 3);
    bench.set(0x0898, 0x10 | 1 << 30);
    bench.set(0x0810, 0xFFFF);
    let data = frame(MAC, OUTSIDE, 0x0800, &[5; 60]);
    bench.receive(&data);
    bench.receive(&data);
    assert_eq!(bench.world.interrupts, [(PF, 0)]);
    bench.pass(49_000);
    assert_eq!(bench.world.interrupts.len(), 1);
    bench.pass(2_000);
    assert_eq!(bench.world.interrupts.len(), 2);
    bench.set(0x0AD0, 1);
    bench.pass(100_000);
    bench.receive(&data);
    bench.pass(100_000);
    bench.receive(&data);
    bench.pass(100_000);
    assert_eq!(bench.world.interrupts.len(), 3, "the vector masked itself");
    assert_eq!(bench.get(0x0AA0) & 1, 0);
    bench.set(0x0AA0, 1);
    assert_eq!(
        bench.world.interrupts.len(),
        4,
        "what came meanwhile is told at once"
    );
    // The VF's: VTEIAM masks, VTEIAC clears.
    bench.world.interrupts.clear();
    bench.write(VF0, 0x0114, 7);
    bench.write(VF0, 0x0110, 7);
    bench.write(VF0, 0x0104, 1);
    bench.write(VF0, 0x0104, 1);
    assert_eq!(bench.world.interrupts, [(VF0, 0)]);
    assert_eq!((bench.read(VF0, 0x0108), bench.read(VF0, 0x0100)), (6, 1));
    bench.write(VF0, 0x0108, 1);
    assert_eq!(bench.world.interrupts.len(), 1, "a read took the cause");
}

#[test]
fn intervals_are_scaled_for_both_kinds_of_function() {
    for (scale, interval) in [(1, 50_000), (4, 200_000), (0, 0)] {
        let mut bench = bench_with(Config {
            eitr_scale: scale,
            ..CONFIG
        });
        bench.set(0x0820, 25 << 3);
        bench.write(VF0, 0x0820, 25 << 3);
        for (to, function) in [(MAC, PF), (pool_mac(0, 2), VF0)] {
            bench.world.interrupts.clear();
            let data = frame(to, OUTSIDE, 0x0800, &[5; 60]);
            bench.receive(&data);
            bench.receive(&data);
            if interval != 0 {
                assert_eq!(bench.world.interrupts, [(function, 0)]);
                bench.pass(interval - 1);
                assert_eq!(bench.world.interrupts, [(function, 0)]);
                bench.pass(1);
            }
            assert_eq!(bench.world.interrupts, [(function, 0); 2], "{scale}");
        }
        assert_eq!(bench.get(0x0820), 25 << 3, "the register is as written");
    }
}

#[test]
fn without_msix_everything_is_one_level() {
    let mut bench = Bench::new();
    bench.rx_ring(PF, 0, 0);
    bench.set(0x0900, 0x80);
    bench.set(0x0880, 1);
    bench.receive(&frame(MAC, OUTSIDE, 0x0800, &[5; 60]));
    assert!(bench.world.pin && bench.world.interrupts.is_empty());
    assert_eq!(
        bench.get(0x0808) & 1,
        1,
        "EICS shows the causes and clears nothing"
    );
    assert_eq!(bench.get(0x0800) & 1, 1);
    assert!(!bench.world.pin);
}
