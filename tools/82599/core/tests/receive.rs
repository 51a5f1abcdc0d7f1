// SPDX-License-Identifier: GPL-2.0

//! Filters, queues and receive descriptors.

mod suite;

use model_82599::Receive;
use model_82599::packet;
use suite::Bench;
use suite::MAC;
use suite::PF;
use suite::frame;
use suite::rx_buffer;

const FROM: [u8; 6] = [0x02, 9, 9, 9, 9, 9];

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.rx_ring(PF, 0, 0);
    bench.set(0x0898, 0x10);
    bench.set(0x0900, 0x8180);
    bench.set(0x0AA0, !0);
    bench.world.violations.clear();
    bench
}

/// A frame with right checksums that starts a stream and ends it.
fn segment(port: u16, payload: &[u8]) -> Vec<u8> {
    suite::segment(MAC, port, 0x1000, 0x19, payload)
}

#[test]
fn a_frame_is_stored() {
    let mut bench = bench();
    let data = segment(5, &[3; 300]);
    assert_eq!(bench.receive(&data), Receive::Taken);
    let [low, _, status, upper] = bench.rx_status(0, 0);
    assert_eq!(low & 0xFFF0, 0x0110, "IPv4, TCP");
    assert_eq!(status, 0x63, "DD, EOP, IPCS, L4CS");
    assert_eq!(upper, data.len() as u32);
    assert_eq!(bench.peek(rx_buffer(0, 0), data.len()), data);
    assert_eq!(bench.world.interrupts, [(PF, 0)]);
    assert_eq!(
        [0x1010, 0x4074, 0x1030, 0x4088].map(|o| bench.get(o)),
        [1, 1, 1, 358]
    );
}

#[test]
fn wrong_checksums_are_reported() {
    let mut bench = bench();
    let mut data = segment(5, &[3; 300]);
    data[100] ^= 1;
    bench.receive(&data);
    data[22] ^= 1;
    bench.receive(&data);
    assert_eq!(bench.rx_status(0, 0)[2], 1 << 30 | 0x63);
    assert_eq!(bench.rx_status(0, 1)[2], 3 << 30 | 0x63);
}

#[test]
fn filters_choose() {
    let mut bench = bench();
    let other = frame(FROM, MAC, 0x0800, &[1; 50]);
    let broadcast = frame([0xFF; 6], FROM, 0x0800, &[1; 50]);
    let multicast = frame([0x01, 0, 0x5E, 0, 0x12, 0x30], FROM, 0x0800, &[1; 50]);
    let taken = |bench: &mut Bench, data: &[u8]| {
        let before = bench.get(0x1010);
        bench.receive(data);
        bench.get(0x1010) != before
    };
    assert_eq!(
        [&other, &broadcast, &multicast].map(|f| taken(&mut bench, f)),
        [false; 3]
    );
    // Broadcast, a hash bit (index 0x301 for MO = 0), unicast promiscuous.
    bench.set(0x5080, 1 << 10);
    assert_eq!(
        [&other, &broadcast, &multicast].map(|f| taken(&mut bench, f)),
        [false, true, false]
    );
    bench.set(0x5200 + 4 * (0x301 >> 5), 1 << (0x301 & 0x1F));
    bench.set(0x5090, 4);
    assert_eq!(
        [&other, &broadcast, &multicast].map(|f| taken(&mut bench, f)),
        [false, true, true]
    );
    bench.set(0x5080, 1 << 9);
    assert_eq!(
        [&other, &broadcast, &multicast].map(|f| taken(&mut bench, f)),
        [true, false, true]
    );
    // VLAN filter: only table entries pass, untagged frames always.
    bench.set(0x5088, 0x4000_8100);
    let tagged = frame(MAC, FROM, 0x8100, &[0x60, 0x21, 8, 0, 1, 2, 3]);
    assert!(!taken(&mut bench, &tagged));
    bench.set(0xA000 + 4, 2);
    assert!(taken(&mut bench, &tagged));
    assert_eq!(bench.get(0x40D0), 14, "TPR counts all");
}

#[test]
fn a_tag_is_stripped() {
    let mut bench = bench();
    bench.set(0x1028, 1 << 25 | 1 << 30);
    bench.set(0x1018, 31);
    let tagged = frame(
        MAC,
        FROM,
        0x8100,
        &[&[0x60, 0x21, 8, 0][..], &[4; 60]].concat(),
    );
    bench.receive(&tagged);
    let [_, _, status, upper] = bench.rx_status(0, 0);
    assert_eq!(
        (status & 8, upper >> 16, upper & 0xFFFF),
        (8, 0x6021, tagged.len() as u32 - 4)
    );
    assert_eq!(
        bench.peek(rx_buffer(0, 0), 16),
        [&tagged[..12], &tagged[16..20]].concat()
    );
}

#[test]
fn jumbo_frames_take_several_descriptors() {
    let mut bench = bench();
    let data = frame(
        MAC,
        FROM,
        0x1234,
        &(0..9000u32).map(|i| i as u8).collect::<Vec<u8>>(),
    );
    bench.receive(&data);
    assert_eq!(
        (bench.get(0x1010), bench.get(0x40AC)),
        (0, 1),
        "ROC until jumbo frames are enabled"
    );
    let hlreg0 = bench.get(0x4240);
    bench.set(0x4240, hlreg0 | 4);
    bench.set(0x4268, 9728 << 16);
    bench.receive(&data);
    assert_eq!(bench.get(0x1010), 9);
    let mut stored: Vec<u8> = Vec::new();
    for i in 0..9 {
        let [_, _, status, length] = bench.rx_status(0, i);
        assert_eq!(status & 3, if i == 8 { 3 } else { 1 });
        stored.extend(bench.peek(rx_buffer(0, i), length as usize));
    }
    assert_eq!(stored, data);
}

#[test]
fn headers_are_split() {
    let mut bench = bench();
    bench.set(0x1014, 0x1000_0000 | 2 << 25 | 4 << 8 | 1);
    bench.set(0x5480, 1 << 4);
    let data = segment(5, &[3; 300]);
    bench.receive(&data);
    let [low, _, _, length] = bench.rx_status(0, 0);
    assert_eq!((low >> 31, low >> 21 & 0x3FF, length), (1, 54, 300));
    assert_eq!(bench.peek(rx_buffer(0, 0) + 1024, 54), &data[..54]);
    assert_eq!(bench.peek(rx_buffer(0, 0), 300), &data[54..]);
}

#[test]
fn rss_spreads_flows() {
    let mut bench = bench();
    for q in 1..16 {
        bench.rx_ring(PF, q, q as usize);
    }
    bench.set(0x5818, 0x0001_0001);
    for i in 0..10 {
        bench.set(0x5C80 + 4 * i, 0x1234_5678u32.rotate_left(i * 5));
    }
    for i in 0..32 {
        let first = 4 * i % 16;
        bench.set(
            0x5C00 + 4 * i,
            u32::from_le_bytes([0, 1, 2, 3].map(|k| (first + k) as u8)),
        );
    }
    for port in 0..200 {
        bench.receive(&segment(port, b"x"));
        bench.receive(&segment(port, b"y"));
    }
    let counts: Vec<u32> = (0..16).map(|q| bench.get(0x1010 + 0x40 * q)).collect();
    assert!(
        counts.iter().all(|n| n % 2 == 0),
        "a flow stays on its queue: {counts:?}"
    );
    assert!(
        counts.iter().all(|n| *n > 4),
        "all queues are used: {counts:?}"
    );
}

#[test]
fn a_frame_waits_for_a_descriptor_and_then_is_lost() {
    let mut bench = bench();
    let data = segment(5, b"x");
    for _ in 0..31 {
        assert_eq!(bench.receive(&data), Receive::Taken);
    }
    assert_eq!(bench.receive(&data), Receive::Later);
    bench.set(0x1018, 5);
    assert_eq!(bench.world.again, 1, "the host is asked for it again");
    assert_eq!(bench.receive(&data), Receive::Taken);
    for _ in 0..5 {
        bench.receive(&data);
    }
    assert_eq!(bench.receive(&data), Receive::Later);
    bench.pass(30_000_000);
    assert!(bench.world.again >= 2);
    assert_eq!(bench.receive(&data), Receive::Taken);
    assert_eq!(bench.get(0x1430), 1, "QPRDC");
}

#[test]
fn flow_director_sends_a_flow_to_its_queue() {
    let mut bench = bench();
    bench.rx_ring(PF, 3, 3);
    bench.set(0xEE00, 0x11);
    assert_eq!(bench.get(0xEE00) & 8, 8, "INIT_DONE");
    // All fields but addresses, ports and protocol are masked.
    bench.set(0xEE70, 0x37);
    bench.set(0xEE18, u32::from_le_bytes([10, 0, 0, 1]));
    bench.set(0xEE1C, u32::from_le_bytes([10, 0, 0, 2]));
    bench.set(0xEE20, 80 << 16 | 5);
    bench.set(0xEE28, 0x0001_0042);
    bench.set(0xEE2C, 1 | 2 << 5 | 1 << 15 | 3 << 16);
    assert_eq!(bench.get(0xEE2C) & 3, 0, "done");
    bench.receive(&segment(5, b"x"));
    bench.receive(&segment(6, b"x"));
    assert_eq!((bench.get(0x1010), bench.get(0x10D0)), (1, 1));
    assert_eq!((bench.get(0xEE58), bench.get(0xEE5C)), (1, 1));
    bench.set(0xEE2C, 3);
    assert_eq!(bench.get(0xEE2C) & 4, 4, "the filter is there");
    bench.set(0xEE2C, 2);
    bench.receive(&segment(5, b"x"));
    assert_eq!(bench.get(0x10D0), 1);
}

#[test]
fn ptp_events_are_stamped_once() {
    let mut bench = bench();
    // 6.4 ns in units of 2^-21 ns.
    bench.set(0x8C14, 0x01CC_CCCC);
    bench.set(0x5188, 0x1A);
    bench.set(0x5134, 0xC000_88F7);
    bench.set(0x5080, 1 << 8);
    bench.pass(1_000_000);
    let sync = frame([0x01, 0x1B, 0x19, 0, 0, 0], FROM, 0x88F7, &[0; 50]);
    bench.receive(&sync);
    bench.receive(&sync);
    assert_eq!(bench.rx_status(0, 0)[2] >> 16 & 1, 1);
    assert_eq!(
        bench.rx_status(0, 1)[2] >> 16 & 1,
        0,
        "the registers are in use"
    );
    assert_eq!(bench.get(0x5188) & 1, 1);
    let stamp = u64::from(bench.get(0x51E8)) | u64::from(bench.get(0x51A4)) << 32;
    let ns = stamp >> 21;
    assert!((999_900..=1_000_000).contains(&ns), "{ns}");
    assert_eq!(bench.get(0x5188) & 1, 0);
}

/// A part of a stream.
fn stream_segment(sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    suite::segment(MAC, 5, sequence, flags, payload)
}

#[test]
fn segments_become_one_packet() {
    let mut bench = bench();
    bench.set(0x102C, 0xD);
    let payload: Vec<u8> = (0..2000u32).map(|i| i as u8).collect();
    for (i, part) in payload.chunks(400).enumerate() {
        bench.receive(&stream_segment(1000 + 400 * i as u32, 0x10, part));
    }
    assert!(bench.world.interrupts.is_empty(), "the packet is open");
    assert_eq!(
        bench.rx_status(0, 0)[2] & 3,
        1,
        "a full descriptor is written back"
    );
    assert_eq!(bench.rx_status(0, 0)[2] >> 4 & 0xFFFF, 1, "NEXTP");
    bench.pass(10_000);
    assert_eq!(bench.world.interrupts, [(PF, 0)]);
    let mut stored: Vec<u8> = Vec::new();
    let mut frames = 0;
    for i in 0..3 {
        let [low, _, status, length] = bench.rx_status(0, i);
        assert_eq!(status & 3, if i == 2 { 3 } else { 1 });
        frames += (low >> 17 & 0xF) - 1;
        stored.extend(bench.peek(rx_buffer(0, i), length as usize));
    }
    assert_eq!(frames, 5, "RSCCNT");
    let p = packet::parse(&stored, 0x8100);
    assert!(packet::ipv4_good(&stored, &p));
    assert_eq!((p.end, stored.len()), (2054, 2054));
    assert_eq!(&stored[54..], payload);
    assert_eq!(bench.get(0x1030), 5, "statistics count frames");
}

#[test]
fn what_does_not_follow_completes_a_packet() {
    let mut bench = bench();
    bench.set(0x102C, 0xD);
    let done = |bench: &mut Bench| {
        (0..32)
            .filter(|i| bench.rx_status(0, *i)[2] & 3 == 3)
            .count()
    };
    bench.receive(&stream_segment(1000, 0x10, &[1; 100]));
    assert_eq!(done(&mut bench), 0);
    // PSH ends it, a gap and another kind of frame do.
    bench.receive(&stream_segment(1100, 0x18, &[2; 100]));
    assert_eq!(done(&mut bench), 1);
    bench.receive(&stream_segment(1200, 0x10, &[3; 100]));
    bench.receive(&stream_segment(1400, 0x10, &[4; 100]));
    assert_eq!(done(&mut bench), 2);
    bench.receive(&stream_segment(1500, 0x11, &[5; 100]));
    assert_eq!(done(&mut bench), 4, "FIN is a packet of its own");
    assert_eq!(bench.rx_status(0, 0)[3], 254);
    bench.receive(&stream_segment(1600, 0x10, &[5; 100]));
    bench.set(0x1028, 0);
    bench.pass(100_000);
    assert_eq!(
        done(&mut bench),
        4,
        "a queue that was switched off writes nothing"
    );
}
