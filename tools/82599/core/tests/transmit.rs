// SPDX-License-Identifier: GPL-2.0

//! Transmit descriptors and offloads.

mod suite;

use model_82599::Problem;
use model_82599::packet;
use suite::Bench;
use suite::MAC;
use suite::PF;
use suite::frame;
use suite::tcp;
use suite::tx_buffer;
use suite::tx_ring;

const TO: [u8; 6] = [0x02, 9, 9, 9, 9, 9];
const TAIL: u32 = 0x6018;

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.tx_ring(PF, 0, 0);
    bench.set(0x0898, 0x10);
    bench.set(0x0900, 0x8180);
    bench.set(0x0AA0, !0);
    bench.world.violations.clear();
    bench
}

/// A context descriptor for TCP over IPv4 with a tag.
fn context(bench: &mut Bench, index: usize, mss: u32, vlan: u32) {
    bench.descriptor(
        tx_ring(0),
        index,
        [
            vlan << 16 | 14 << 9 | 20,
            0,
            0x2020_0C00,
            mss << 16 | 20 << 8,
        ],
    );
}

fn checked(sent: &[u8]) -> packet::Packet {
    let p = packet::parse(sent, packet::ETHERTYPE_VLAN);
    assert!(p.ipv4 && packet::ipv4_good(sent, &p), "IPv4 checksum");
    assert_eq!(packet::l4_good(sent, &p), Some(true), "TCP checksum");
    p
}

#[test]
fn a_frame_is_sent_and_reported() {
    let mut bench = bench();
    let data = frame(TO, MAC, 0x0800, &[7; 100]);
    bench.transmit(PF, 0, 0, 0, &data);
    assert_eq!(bench.world.sent, [data]);
    assert_eq!(bench.dword(tx_ring(0) + 12), 1, "DD");
    assert_eq!(bench.get(0x6010), 1);
    assert_eq!(bench.world.interrupts, [(PF, 1)]);
    assert_eq!(bench.device.violations(), 0);
}

#[test]
fn head_write_back_replaces_the_descriptor() {
    let mut bench = bench();
    bench.set(0x6038, 0x8000 | 1);
    bench.transmit(PF, 0, 0, 0, &frame(TO, MAC, 0x0800, &[7; 100]));
    assert_eq!(bench.dword(0x8000), 1);
    assert_eq!(bench.dword(tx_ring(0) + 12), 114 << 14);
}

#[test]
fn fragments_are_gathered_over_the_end_of_the_ring() {
    let mut bench = bench();
    for i in 0..30 {
        bench.transmit(PF, 0, 0, i, &frame(TO, MAC, 0x0800, &[7; 46]));
    }
    bench.world.sent.clear();
    let data = frame(TO, MAC, 0x0800, &(0..=255).collect::<Vec<u8>>());
    bench.poke(tx_buffer(0), &data);
    for i in 0..4usize {
        let (from, to) = (data.len() * i / 4, data.len() * (i + 1) / 4);
        let last = if i == 3 { 0x0900_0000 } else { 0 };
        let words = [
            (tx_buffer(0) + from) as u32,
            0,
            0x2030_0000 | last | (to - from) as u32,
            (data.len() as u32) << 14,
        ];
        bench.descriptor(tx_ring(0), (30 + i) % 32, words);
    }
    bench.set(TAIL, 1);
    assert!(
        bench.world.sent.is_empty(),
        "the last descriptor is not there yet"
    );
    bench.set(TAIL, 2);
    assert_eq!(bench.world.sent, [data]);
    assert_eq!(bench.get(0x6010), 2);
}

#[test]
fn checksums_and_tag_are_inserted() {
    let mut bench = bench();
    context(&mut bench, 0, 0, 0x6123);
    let mut data = frame(TO, MAC, 0x0800, &tcp(1, b"payload"));
    // As a driver does: the pseudo header's sum is in the field.
    let p = packet::parse(&data, 0x8100);
    let seed = !packet::fold(packet::pseudo(&data, &p, packet::TCP, 27));
    data[14 + 36..14 + 38].copy_from_slice(&seed.to_be_bytes());
    data.truncate(14 + 47);
    bench.poke(tx_buffer(0), &data);
    let length = data.len() as u32;
    bench.descriptor(
        tx_ring(0),
        1,
        [
            tx_buffer(0) as u32,
            0,
            0x6B30_0000 | length,
            length << 14 | 0x300,
        ],
    );
    bench.set(TAIL, 2);
    let sent = &bench.world.sent[0];
    let p = checked(sent);
    assert_eq!(
        (p.vlan, sent.len(), &sent[..12]),
        (Some(0x6123), data.len() + 4, &data[..12])
    );
    assert_eq!(&sent[p.data..], b"payload");
}

#[test]
fn segmentation_makes_correct_packets() {
    let mut bench = bench();
    context(&mut bench, 0, 1000, 0);
    let payload: Vec<u8> = (0..2500u32).map(|i| i as u8).collect();
    let mut data = frame(TO, MAC, 0x0800, &tcp(1, &payload));
    let p = packet::parse(&data, 0x8100);
    // For segmentation the pseudo header is summed without the length.
    let seed = !packet::fold(packet::pseudo(&data, &p, packet::TCP, 0));
    data[14 + 36..14 + 38].copy_from_slice(&seed.to_be_bytes());
    bench.poke(tx_buffer(0), &data);
    let words = [
        tx_buffer(0) as u32,
        0,
        0xAB30_0000 | data.len() as u32,
        2500 << 14 | 0x300,
    ];
    bench.descriptor(tx_ring(0), 1, words);
    bench.set(TAIL, 2);
    assert_eq!(bench.world.sent.len(), 3);
    let mut stream: Vec<u8> = Vec::new();
    for (i, sent) in bench.world.sent.iter().enumerate() {
        let p = checked(sent);
        assert_eq!(
            packet::be16(sent, p.l3 + 4),
            0x1234 + i as u16,
            "identification"
        );
        assert_eq!(
            packet::be32(sent, p.l4 + 4),
            0x1000 + 1000 * i as u32,
            "sequence number"
        );
        // FIN and PSH are the last segment's, ACK is everyone's.
        assert_eq!(sent[p.l4 + 13], if i == 2 { 0x19 } else { 0x10 });
        stream.extend(&sent[p.data..p.end]);
    }
    assert_eq!(stream, payload);
    assert_eq!(bench.get(0x4080), 3);
}

#[test]
fn short_frames_are_padded() {
    let mut bench = bench();
    bench.set(0x4240, bench_hlreg0() | 1 << 10);
    bench.transmit(PF, 0, 0, 0, &[&TO[..], &MAC[..], &[8, 0, 1]].concat());
    assert_eq!(bench.world.sent[0].len(), 60);
}

fn bench_hlreg0() -> u32 {
    Bench::new().get(0x4240)
}

#[test]
fn nonsense_is_dropped_and_reported() {
    let mut bench = bench();
    // No end of packet in the whole ring, several times around.
    for i in 0..32 {
        bench.descriptor(
            tx_ring(0),
            i,
            [tx_buffer(0) as u32, 0, 0x2230_0040, 64 << 14],
        );
    }
    for round in 1..20u32 {
        bench.set(TAIL, round * 31 % 32);
    }
    assert!(bench.world.sent.is_empty());
    // Segmentation without a context, memory that is not there, an unknown descriptor type.
    let mut bench = self::bench();
    bench.descriptor(
        tx_ring(0),
        0,
        [tx_buffer(0) as u32, 0, 0xA930_0200, 500 << 14],
    );
    bench.descriptor(tx_ring(0), 1, [!0, !0, 0x2930_0200, 500 << 14]);
    bench.descriptor(tx_ring(0), 2, [0, 0, 0x29F0_0200, 0]);
    bench.set(TAIL, 3);
    assert!(bench.world.sent.is_empty());
    let found: Vec<Problem> = bench.world.violations.iter().map(|v| v.problem).collect();
    assert_eq!(
        found,
        [Problem::Descriptor, Problem::Dma, Problem::Descriptor]
    );
    assert_eq!(bench.get(0x6010), 3, "the queue goes on");
}

#[test]
fn the_mac_loopback_brings_frames_back() {
    let mut bench = bench();
    bench.rx_ring(PF, 0, 0);
    bench.set(0x4240, bench_hlreg0() | 1 << 15);
    bench.transmit(PF, 0, 0, 0, &frame(MAC, MAC, 0x0800, &[5; 200]));
    assert!(bench.world.sent.is_empty());
    assert_eq!(bench.rx_status(0, 0)[2] & 3, 3);
    assert_eq!(bench.peek(suite::rx_buffer(0, 0) + 14, 200), [5; 200]);
}
