// SPDX-License-Identifier: GPL-2.0

//! What chooses a receive queue besides RSS, copies of frames, and the rate of a transmit queue.

mod suite;

use model_82599::Function;
use model_82599::Receive;
use model_82599::packet;
use suite::Bench;
use suite::MAC;
use suite::PF;
use suite::frame;
use suite::pool_mac;
use suite::segment;
use suite::tcp;

const FROM: [u8; 6] = [0x02, 9, 9, 9, 9, 9];
const SYNQF: u32 = 0xEC30;
const FDIRHASH: u32 = 0xEE28;
const FDIRCMD: u32 = 0xEE2C;
/// What ixgbe calculates for TCP from 10.0.0.1:5 to 10.0.0.2:80 with the EtherType as flexible bytes, and for UDP
/// between them with tag 0x6005.
const TCP_HASH: u32 = 0x50A1_2B05;
const UDP_TAGGED_HASH: u32 = 0x0D5E_0D53;

/// PF with 8 receive queues.
fn bench() -> Bench {
    let mut bench = Bench::new();
    for q in 0..8 {
        bench.rx_ring(PF, q, q as usize);
    }
    bench.world.violations.clear();
    bench
}

/// The queue that got the one frame.
fn queue(bench: &mut Bench, data: &[u8]) -> Option<u32> {
    let heads = |bench: &mut Bench| [0, 1, 2, 3, 4, 5, 6, 7].map(|q| bench.get(0x1010 + 0x40 * q));
    let before = heads(bench);
    let _ = bench.receive(data);
    let after = heads(bench);
    (0..8).find(|q| before[*q as usize] != after[*q as usize])
}

/// The same addresses and ports, over UDP.
fn udp() -> Vec<u8> {
    let mut data = frame(MAC, FROM, 0x0800, &tcp(5, &[1; 60]));
    data[23] = packet::UDP;
    data
}

fn tagged(data: &[u8], tag: u16) -> Vec<u8> {
    let mut frame = data[..12].to_vec();
    frame.extend([0x81, 0]);
    frame.extend(tag.to_be_bytes());
    frame.extend(&data[12..]);
    frame
}

fn signatures(bench: &mut Bench) {
    // 64 KB of filters, flexible bytes at 12, full below 16 free ones: as ixgbe does, but for the threshold.
    bench.set(0xEE00, 1 | 6 << 16 | 1 << 28);
    assert_eq!(bench.get(0xEE00) & 8, 8, "INIT_DONE");
    assert_eq!(bench.get(0xEE38), 8190, "FDIRFREE");
}

#[test]
fn hash_filters_send_a_flow_to_its_queue() {
    let mut bench = bench();
    signatures(&mut bench);
    bench.set(FDIRHASH, TCP_HASH);
    bench.set(FDIRCMD, 1 | 2 << 5 | 1 << 15 | 3 << 16);
    bench.set(FDIRHASH, UDP_TAGGED_HASH);
    bench.set(FDIRCMD, 1 | 1 << 5 | 1 << 15 | 4 << 16);
    let flow = segment(MAC, 5, 0x1000, 0x10, b"x");
    assert_eq!(queue(&mut bench, &flow), Some(3));
    assert_eq!(
        queue(&mut bench, &segment(MAC, 6, 0x1000, 0x10, b"x")),
        Some(0)
    );
    assert_eq!(queue(&mut bench, &udp()), Some(0));
    assert_eq!(queue(&mut bench, &tagged(&udp(), 0x6005)), Some(4));
    assert_eq!(queue(&mut bench, &tagged(&udp(), 0x6006)), Some(0));
    // FDIRMATCH, FDIRMISS, FDIRUSTAT.
    assert_eq!([0xEE58, 0xEE5C, 0xEE50].map(|o| bench.get(o)), [2, 3, 2]);
    // A second add moves the flow, without a second filter.
    bench.set(FDIRHASH, TCP_HASH);
    bench.set(FDIRCMD, 1 | 2 << 5 | 1 << 15 | 5 << 16);
    assert_eq!(queue(&mut bench, &flow), Some(5));
    assert_eq!([0xEE50, 0xEE38].map(|o| bench.get(o)), [0, 8188]);
    bench.set(FDIRCMD, 3);
    assert_eq!(bench.get(FDIRCMD) & 4, 4, "the filter is there");
    bench.set(FDIRCMD, 2);
    bench.set(FDIRCMD, 2);
    assert_eq!(queue(&mut bench, &flow), Some(0));
    // One removed, one failure (FDIRFSTAT.FREMOVE).
    assert_eq!([0xEE50, 0xEE54].map(|o| bench.get(o)), [1 << 16, 1 << 8]);
}

#[test]
fn a_frame_waits_for_the_queue_that_a_filter_chose() {
    let mut bench = bench();
    signatures(&mut bench);
    bench.set(FDIRHASH, TCP_HASH);
    bench.set(FDIRCMD, 1 | 2 << 5 | 1 << 15 | 3 << 16);
    let flow = segment(MAC, 5, 0x1000, 0x10, b"x");
    let other = segment(MAC, 6, 0x1000, 0x10, b"x");
    for _ in 0..31 {
        assert_eq!(bench.receive(&flow), Receive::Taken);
    }
    assert_eq!(bench.receive(&flow), Receive::Later);
    assert_eq!(bench.receive(&other), Receive::Taken, "its queue has room");
    // A match is counted when the frame is stored.
    assert_eq!([0xEE58, 0xEE5C].map(|o| bench.get(o)), [31, 1]);
    bench.set(0x1018 + 0x40 * 3, 5);
    assert_eq!(bench.receive(&flow), Receive::Taken);
}

#[test]
fn a_full_table_of_hash_filters_says_so() {
    let mut bench = bench();
    signatures(&mut bench);
    for i in 0..9000u32 {
        bench.set(FDIRHASH, i << 16);
        bench.set(FDIRCMD, 1 | 1 << 15);
        let full = bench.get(0x0800) >> 16 & 1;
        let expected = u32::from((8190 - 16..8191).contains(&(i + 1)));
        assert_eq!(full, expected, "EICR.FDIR with {i} filters");
    }
    assert_eq!(bench.get(0xEE38), 0);
    assert_eq!(bench.get(0xEE50), 8190);
    assert_eq!(bench.get(0xEE54), (9000 - 8190) & 0xFF, "FDIRFSTAT.FADD");
}

/// A 5-tuple filter for the flow of `segment(MAC, 5, …)`, in which `ignored` fields (FTQF 29:25) do not count.
fn five_tuple(bench: &mut Bench, n: u32, ignored: u32, priority: u32, to: u32) {
    bench.set(0xE000 + 4 * n, u32::from_le_bytes([10, 0, 0, 1]));
    bench.set(0xE200 + 4 * n, u32::from_le_bytes([10, 0, 0, 2]));
    bench.set(0xE400 + 4 * n, 5u32.swap_bytes() >> 16 | 80u32.swap_bytes());
    bench.set(0xE800 + 4 * n, 1 << 19 | to << 21);
    bench.set(0xE600 + 4 * n, 3 << 30 | ignored << 25 | priority << 2);
}

#[test]
fn five_tuple_filters_compare_what_they_are_told_to() {
    let mut bench = bench();
    let flow = segment(MAC, 5, 0x1000, 0x10, b"x");
    let other_port = segment(MAC, 6, 0x1000, 0x10, b"x");
    let mut other_address = flow.clone();
    other_address[29] ^= 1;
    five_tuple(&mut bench, 100, 0, 1, 3);
    let chosen = |bench: &mut Bench| {
        [&flow, &other_port, &other_address, &udp()].map(|f| queue(bench, f).unwrap())
    };
    assert_eq!(chosen(&mut bench), [3, 0, 0, 0]);
    five_tuple(&mut bench, 100, 4, 1, 3);
    assert_eq!(chosen(&mut bench), [3, 3, 0, 0], "source port");
    five_tuple(&mut bench, 100, 1, 1, 3);
    assert_eq!(chosen(&mut bench), [3, 0, 3, 0], "source address");
    five_tuple(&mut bench, 100, 16, 1, 3);
    assert_eq!(chosen(&mut bench), [3, 0, 0, 3], "protocol");
    // The highest priority wins; a filter that is off does not count.
    five_tuple(&mut bench, 7, 31, 2, 5);
    five_tuple(&mut bench, 8, 31, 0, 6);
    assert_eq!(chosen(&mut bench), [5; 4]);
    bench.set(0xE600 + 4 * 7, 0);
    assert_eq!(chosen(&mut bench), [3, 6, 6, 3]);
    bench.set(0x0000, 1 << 26);
    for q in 0..8 {
        bench.rx_ring(PF, q, q as usize);
    }
    assert_eq!(chosen(&mut bench), [0; 4], "a reset switches all off");
    assert_eq!(bench.device.violations(), 0);
}

#[test]
fn syn_packets_have_a_queue() {
    let mut bench = bench();
    let syn = segment(MAC, 5, 0x1000, 0x02, b"");
    let data = segment(MAC, 5, 0x1000, 0x10, b"x");
    bench.set(SYNQF, 1 | 2 << 1);
    assert_eq!(
        [&syn, &data].map(|f| queue(&mut bench, f)),
        [Some(2), Some(0)]
    );
    // A 5-tuple filter comes first, unless SYNQF says otherwise.
    five_tuple(&mut bench, 0, 0, 1, 3);
    assert_eq!(
        [&syn, &data].map(|f| queue(&mut bench, f)),
        [Some(3), Some(3)]
    );
    bench.set(SYNQF, 1 << 31 | 1 | 2 << 1);
    assert_eq!(
        [&syn, &data].map(|f| queue(&mut bench, f)),
        [Some(2), Some(3)]
    );
}

#[test]
fn ethertype_filters_have_a_queue_or_a_pool() {
    let mut bench = bench();
    let other = frame(MAC, FROM, 0x88F7, &[0; 60]);
    bench.set(0x512C, 1 << 31 | 0x88F7);
    bench.set(0xEC04, 1 << 31 | 6 << 16);
    assert_eq!(queue(&mut bench, &other), Some(6));
    assert_eq!(
        bench.rx_status(6, 0)[0] & 0x8070,
        0x8010,
        "packet type: filter 1"
    );
    assert_eq!(queue(&mut bench, &udp()), Some(0));
    let mut bench = Bench::new();
    bench.virtualize(2);
    for q in [0, 2, 4] {
        bench.rx_ring(PF, q, q as usize);
    }
    bench.set(0x512C, 1 << 31 | 1 << 26 | 1 << 20 | 0x88F7);
    assert_eq!(
        queue(&mut bench, &other),
        Some(2),
        "pool 1 instead of the PF's"
    );
}

#[test]
fn traffic_classes_have_their_queues() {
    let mut bench = Bench::new();
    // Queues from 64 on have a space of their own: as if they were 704 further.
    let space = |q: u32| if q < 64 { q } else { q + 704 };
    for q in [0, 16, 48, 112] {
        bench.rx_ring(PF, space(q), q as usize);
    }
    let head = |bench: &mut Bench, q: u32| bench.get(0x1010 + 0x40 * space(q));
    // Priority 5 belongs to class 3, priority 7 to class 7.
    bench.set(0x3020, 3 << 15 | 7 << 21);
    for mode in [2, 4] {
        bench.set(0x5818, mode);
        for tag in [0x0001, 0xA001, 0xE001] {
            bench.receive(&tagged(&udp(), tag));
        }
        bench.receive(&udp());
    }
    assert_eq!([0, 16, 48, 112].map(|q| head(&mut bench, q)), [4, 0, 2, 2]);
    // Four classes, 32 queues each; RQTC spreads a class by its hash.
    let mut bench = Bench::new();
    for q in 32..36 {
        bench.rx_ring(PF, q, q as usize);
    }
    bench.set(0x3020, 1);
    bench.set(0x5818, 0x0001_0005);
    bench.set(0xEC70, 2 << 4);
    for i in 0..10 {
        bench.set(0x5C80 + 4 * i, 0x1234_5678u32.rotate_left(i * 5));
    }
    for i in 0..32 {
        bench.set(0x5C00 + 4 * i, 0x0302_0100);
    }
    for port in 0..100 {
        bench.receive(&segment(MAC, port, 0x1000, 0x10, b"x"));
    }
    let used = [32, 33, 34, 35].map(|q| head(&mut bench, q));
    assert!(used.iter().all(|n| *n > 5), "{used:?}");
    assert_eq!(used.iter().sum::<u32>(), 100);
    // A pool with a queue for each class.
    let mut bench = Bench::new();
    bench.virtualize(2);
    bench.set(0x11050, 1);
    bench.set(0x5818, 0xC);
    for q in [16, 19] {
        bench.rx_ring(PF, q, q as usize);
    }
    bench.set(0x3020, 3 << 15);
    bench.set(0x5088, 0x8100);
    bench.receive(&tagged(&udp(), 0xA001));
    bench.receive(&udp());
    assert_eq!([16, 19].map(|q| head(&mut bench, q)), [1, 1]);
}

#[test]
fn rules_mirror_frames_to_a_pool() {
    const VF0: Function = Function::Vf(0);
    const OUTSIDE: [u8; 6] = [0x02, 8, 8, 8, 8, 8];
    let mut bench = Bench::new();
    bench.virtualize(3);
    for (function, local, q) in [(VF0, 0, 0), (PF, 2, 2), (PF, 4, 4), (PF, 6, 6)] {
        bench.rx_ring(function, local, q);
    }
    bench.tx_ring(VF0, 0, 0);
    bench.set(0x5088, 0x4000_8100);
    bench.set(0xA000, 1 << 5);
    bench.set(0xF108, 1 << 31 | 5);
    bench.set(0xF210, 0b0011);
    let mut sent = 0;
    // Frames to pool 2 (a mirror), after one to pool 1, one to the wire, one from the wire, one in VLAN 5.
    let mut copies = |bench: &mut Bench| {
        let mut before = bench.get(0x1110);
        [
            Some(frame(pool_mac(1, 3), pool_mac(0, 3), 0x0800, &[5; 60])),
            Some(frame(OUTSIDE, pool_mac(0, 3), 0x0800, &[5; 60])),
            None,
            Some(frame(
                pool_mac(1, 3),
                pool_mac(0, 3),
                0x8100,
                &[0, 5, 8, 0, 1],
            )),
        ]
        .map(|data| {
            match data {
                Some(data) => {
                    bench.transmit(VF0, 0, 0, sent, &data);
                    sent += 1;
                }
                None => {
                    bench.receive(&frame(pool_mac(1, 3), OUTSIDE, 0x0800, &[5; 60]));
                }
            }
            let after = bench.get(0x1110);
            let copied = after - before;
            before = after;
            copied
        })
    };
    assert_eq!(copies(&mut bench), [0; 4]);
    // Rule 2: to pool 2. What pool 1 gets, what the wire gets, what it brings, VLAN 5 (entry 2 of PFVLVF).
    bench.set(0xF638, 1 << 1);
    bench.set(0xF608, 2 << 8 | 1);
    assert_eq!(copies(&mut bench), [1, 0, 1, 1]);
    bench.set(0xF608, 2 << 8 | 4);
    assert_eq!(copies(&mut bench), [0, 1, 0, 0]);
    bench.set(0xF608, 2 << 8 | 2);
    assert_eq!(copies(&mut bench), [0, 0, 1, 0]);
    bench.set(0xF618, 1 << 2);
    bench.set(0xF608, 2 << 8 | 8);
    assert_eq!(copies(&mut bench), [0, 0, 0, 1]);
    // Without replication there are no copies.
    bench.set(0x51B0, 1 | 3 << 7);
    bench.set(0xF608, 2 << 8 | 0xF);
    assert_eq!(copies(&mut bench), [0; 4]);
    assert_eq!(bench.device.violations(), 0);
}

#[test]
fn a_queue_keeps_its_rate() {
    const VF0: Function = Function::Vf(0);
    let mut bench = Bench::new();
    bench.virtualize(2);
    bench.tx_ring(VF0, 0, 0);
    // 100 Mb/s is 10 Gb/s divided by 100; an idle queue saves up 1 KB.
    bench.set(0x4980, 1);
    bench.set(0x4904, 0);
    bench.set(0x4984, 1 << 31 | 100 << 14);
    bench.set(0x4904, 1);
    assert_eq!(bench.get(0x4984), 0, "the register is the selected queue's");
    bench.pass(1_000_000_000);
    let data = frame([0x02, 8, 8, 8, 8, 8], pool_mac(0, 2), 0x0800, &[5; 962]);
    bench.poke(suite::tx_buffer(0), &data);
    let length = data.len() as u32;
    for i in 0..30 {
        let buffer = suite::tx_buffer(0) as u32;
        bench.descriptor(
            suite::tx_ring(0),
            i,
            [buffer, 0, 0x2B30_0000 | length, length << 14],
        );
    }
    bench.write(VF0, 0x2018, 30);
    assert_eq!(
        bench.world.sent.len(),
        2,
        "1 KB at once, and the frame that goes beyond"
    );
    // 1000 octets on the wire each: 80 us.
    bench.pass(800_000);
    assert!(
        (10..=12).contains(&bench.world.sent.len()),
        "{}",
        bench.world.sent.len()
    );
    // A reset of the VF leaves the rate, which is the PF's.
    bench.write(VF0, 0x0000, 1 << 26);
    bench.set(0x4904, 0);
    assert_eq!(bench.get(0x4984), 1 << 31 | 100 << 14);
    bench.tx_ring(VF0, 0, 0);
    bench.world.sent.clear();
    bench.write(VF0, 0x2018, 20);
    assert!(bench.world.sent.len() < 4);
    // Without a limit the rest goes out.
    bench.set(0x4984, 0);
    assert_eq!(bench.world.sent.len(), 20);
    assert_eq!(bench.device.violations(), 0);
}
