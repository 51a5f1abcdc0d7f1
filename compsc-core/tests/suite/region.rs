// SPDX-License-Identifier: GPL-2.0

//! The shared region: layouts that fit, and forged regions.

use crate::decoders::{invalid, region as check};
use compsc_core::region::*;
use proptest::prelude::*;
use std::mem::offset_of;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, IntoBytes};

const RX: QueueKind = QueueKind::Rx;
const TX: QueueKind = QueueKind::Tx;

/// A region as a driver with two queue pairs and a few counters leaves it.
fn good() -> (Layout, Vec<u8>) {
    let layout = Layout::new(40, 3, &[(RX, 256), (TX, 256), (RX, 64), (TX, 64)]).unwrap();
    let mut bytes = vec![0; layout.len() as usize];
    let mut header = layout.header(1, role::VF, 2);
    header.device_state = U32::new(DeviceState::Up as u32);
    put(&mut bytes, 0, header.as_bytes());
    for i in 0..3 {
        let mut counter = CounterEntry::new_zeroed();
        counter.register = U32::new(0xf10 + 4 * i);
        counter.width = 32;
        put(&mut bytes, layout.counter_offset(i), counter.as_bytes());
    }
    for (i, (kind, len)) in [(RX, 256), (TX, 256), (RX, 64), (TX, 64)]
        .into_iter()
        .enumerate()
    {
        let i = i as u32;
        let mut queue = QueueEntry::new_zeroed();
        queue.kind = U16::new(kind as u16);
        queue.hw_index = U16::new(i as u16 / 2);
        queue.ring_len = U32::new(len);
        queue.ring_addr = U64::new(0x10_0000 + u64::from(i) * 0x1000);
        queue.desc_size = U16::new(DESC_SIZE);
        queue.next_to_clean = U32::new(u32::MAX - 3);
        queue.next_to_use = U32::new(len - 10);
        queue.table_offset = U32::new(layout.table_offset(i));
        if kind == RX {
            queue.buffer_len = U32::new(2048);
            for slot in 0..len / 2 {
                let address = 0x80_0000 + u64::from(slot) * 2048;
                put(
                    &mut bytes,
                    layout.table_offset(i) + slot * 16,
                    &address.to_le_bytes(),
                );
            }
        }
        put(&mut bytes, layout.queue_offset(i), queue.as_bytes());
    }
    (layout, bytes)
}

fn put(bytes: &mut [u8], offset: u32, value: &[u8]) {
    let offset = offset as usize;
    bytes[offset..offset + value.len()].copy_from_slice(value);
}

struct Plain<'a>(&'a [u8]);

impl ReadAt for Plain<'_> {
    type Error = ();

    fn read_at(&self, offset: u32, buf: &mut [u8]) -> Result<(), ()> {
        let offset = offset as usize;
        buf.copy_from_slice(self.0.get(offset..offset + buf.len()).ok_or(())?);
        Ok(())
    }
}

#[test]
fn a_good_region() {
    let (layout, bytes) = good();
    check(&bytes, layout.len(), &[]).unwrap();
    let reader = Reader::open(Plain(&bytes), layout.len()).unwrap();
    assert_eq!(reader.region().device_state, DeviceState::Up);
    assert_eq!(reader.region().kick_vector, 2);
    let queues = reader.queues().unwrap();
    assert_eq!(queues.iter().count(), 4);
    let first = queues.iter().next().unwrap();
    assert_eq!(
        (first.kind, first.hw_index, first.ring_bytes()),
        (RX, 0, 4096)
    );
    let posted: Vec<_> = reader.posted(first).map(Result::unwrap).collect();
    assert_eq!(posted.len(), 128);
    assert_eq!(posted[1], (2, 0x80_0800));
    let second = queues.iter().nth(1).unwrap();
    assert_eq!(reader.posted(second).count(), 0);
    let counters: Vec<_> = reader.counters(0x4000).map(Result::unwrap).collect();
    assert_eq!(counters[2].register, 0xf18);
}

#[test]
fn unused_queue_entries_are_left_out() {
    let (layout, mut bytes) = good();
    put(&mut bytes, layout.queue_offset(2), &[0; 2]);
    let reader = Reader::open(Plain(&bytes), layout.len()).unwrap();
    let indices: Vec<_> = reader.queues().unwrap().iter().map(|q| q.entry).collect();
    assert_eq!(indices, [0, 1, 3]);
}

/// Each forged field is refused, and the error names it.
#[test]
fn forged_fields() {
    let (layout, bytes) = good();
    let q0 = layout.queue_offset(0) as usize;
    let c1 = layout.counter_offset(1) as usize;
    macro_rules! header {
        ($field:ident) => {
            offset_of!(Header, $field)
        };
    }
    macro_rules! queue {
        ($field:ident) => {
            q0 + offset_of!(QueueEntry, $field)
        };
    }
    let u16 = |v: u16| v.to_le_bytes().to_vec();
    let u32 = |v: u32| v.to_le_bytes().to_vec();
    let u64 = |v: u64| v.to_le_bytes().to_vec();
    let len = layout.len();
    let cases: Vec<(usize, Vec<u8>, &str)> = vec![
        (header!(magic), u64(7), "magic"),
        (header!(abi), u16(2), "abi"),
        (header!(header_len), u16(255), "header_len"),
        (header!(role), u16(0), "role"),
        (header!(role), u16(3), "role"),
        (header!(region_len), u32(len + 1), "region_len"),
        (header!(region_len), u32(255), "region_len"),
        (header!(device_state), u32(3), "device_state"),
        (header!(log_offset), u32(0), "overlaps header"),
        (header!(log_offset), u32(u32::MAX - 7), "log"),
        (header!(log_offset), u32(len - 8), "log"),
        (header!(log_offset), u32(257), "not a multiple of 8"),
        (header!(log_slots), u32(513), "log"),
        (header!(log_slots), u32(u32::MAX), "log"),
        (header!(log_slots), u32(0x2000_0000), "log"),
        (header!(counters_count), u32(65), "counters"),
        (header!(counters_count), u32(0x0800_0001), "counters"),
        (header!(counters_offset), u32(256), "overlaps log"),
        (header!(queues_offset), u32(256), "overlaps log"),
        (header!(queues_count), u32(17), "queues"),
        (queue!(kind), u16(3), "queue.kind"),
        (queue!(hw_index), u16(200), "queue.hw_index"),
        (queue!(hw_index), u16(1), "twice"),
        (queue!(ring_len), u32(0), "queue.ring_len"),
        (queue!(ring_len), u32(4104), "queue.ring_len"),
        (queue!(ring_len), u32(252), "queue.ring_len"),
        (queue!(ring_len), u32(u32::MAX), "queue.ring_len"),
        (queue!(ring_addr), u64(0), "queue.ring_addr"),
        (queue!(ring_addr), u64(64), "queue.ring_addr"),
        (queue!(ring_addr), u64(u64::MAX - 127), "queue.ring_addr"),
        (queue!(desc_size), u16(32), "queue.desc_size"),
        (queue!(buffer_len), u32(0), "queue.buffer_len"),
        (queue!(buffer_len), u32(16385), "queue.buffer_len"),
        (queue!(next_to_use), u32(1000), "next_to_use"),
        (queue!(table_offset), u32(0), "queue.table_offset"),
        (queue!(table_offset), u32(256), "overlaps log"),
        (queue!(table_offset), u32(len - 8), "queue.table_offset"),
        (
            queue!(table_offset),
            u32(u32::MAX - 7),
            "queue.table_offset",
        ),
        (
            queue!(table_offset),
            u32(layout.table_offset(0) + 4),
            "queue.table_offset",
        ),
        (
            layout.queue_offset(2) as usize + offset_of!(QueueEntry, table_offset),
            u32(layout.table_offset(0) + 64),
            "overlaps table",
        ),
        (queue!(writeback_addr), u64(2), "queue.writeback_addr"),
        // A transmit queue has neither buffers nor table.
        (queue!(kind), u16(2), "queue.buffer_len"),
        (c1, u32(0x4000), "counter.register"),
        (c1, u32(0xf12), "counter.register"),
        (c1 + 4, vec![0], "counter.width"),
        (c1 + 4, vec![65], "counter.width"),
        (c1 + 5, vec![2], "counter.flags"),
        (
            layout.table_offset(0) as usize,
            u64(u64::MAX),
            "posted buffer",
        ),
    ];
    for (offset, value, expected) in cases.into_iter().step_by(if cfg!(miri) { 5 } else { 1 }) {
        let mut forged = bytes.clone();
        forged[offset..offset + value.len()].copy_from_slice(&value);
        let error = invalid(check(&forged, layout.len(), &[]))
            .unwrap_or_else(|| panic!("{expected} with {value:x?} at {offset:#x} was accepted"));
        assert!(
            error.to_string().contains(expected),
            "{expected}: got \"{error}\""
        );
    }
}

#[test]
fn announced_length_counts() {
    let (layout, bytes) = good();
    // More memory than the header says is fine, less is not.
    check(&bytes, layout.len() + 4096, &[]).unwrap();
    assert!(invalid(check(&bytes, layout.len() - 1, &[])).is_some());
    assert!(invalid(check(&bytes, 255, &[])).is_some());
    assert!(invalid(check(&bytes, MAX_REGION + 1, &[])).is_some());
}

#[test]
fn memory_errors_are_passed_on() {
    let (layout, bytes) = good();
    assert!(matches!(
        Reader::open(Plain(&bytes[..100]), layout.len()),
        Err(ReadError::Memory(()))
    ));
}

#[test]
fn layouts() {
    // The largest one fits.
    let queues = [(RX, MAX_RING); 16];
    let layout = Layout::new(MAX_SLOTS, MAX_COUNTERS, &queues).unwrap();
    assert!(layout.len() <= MAX_REGION);
    assert!(Layout::new(0, 0, &[(RX, 8)]).is_err());
    assert!(Layout::new(MAX_SLOTS + 1, 0, &[(RX, 8)]).is_err());
    assert!(Layout::new(1, MAX_COUNTERS + 1, &[(RX, 8)]).is_err());
    assert!(Layout::new(1, 0, &[]).is_err());
    assert!(Layout::new(1, 0, &[(RX, 8); 17]).is_err());
    let error = Layout::new(1, 0, &[(TX, 8), (RX, 4097)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "shared region: ring_len (entry 1) is 0x1001, allowed is 0x8 to 0x1000"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 10_000 }))]

    /// Whatever is laid out can be read back; no part overlaps another.
    #[test]
    fn layouts_pass_the_reader(
        slots in 1..=MAX_SLOTS,
        counters in 0..=MAX_COUNTERS,
        queues in prop::collection::vec((any::<bool>(), 1..=64u32), 1..=16),
    ) {
        let queues: Vec<_> =
            queues.into_iter().map(|(rx, n)| (if rx { RX } else { TX }, n * 8)).collect();
        let layout = Layout::new(slots, counters, &queues).unwrap();
        let mut bytes = vec![0; layout.len() as usize];
        put(&mut bytes, 0, layout.header(2, role::PF, 0).as_bytes());
        for (i, &(kind, len)) in queues.iter().enumerate() {
            let mut queue = QueueEntry::new_zeroed();
            queue.kind = U16::new(kind as u16);
            queue.hw_index = U16::new(i as u16);
            queue.ring_len = U32::new(len);
            queue.ring_addr = U64::new(0x1000);
            queue.desc_size = U16::new(DESC_SIZE);
            queue.buffer_len = U32::new(if kind == RX { 1024 } else { 0 });
            queue.table_offset = U32::new(layout.table_offset(i as u32));
            put(&mut bytes, layout.queue_offset(i as u32), queue.as_bytes());
        }
        let reader = Reader::open(Plain(&bytes), layout.len()).unwrap();
        prop_assert_eq!(reader.queues().unwrap().iter().count(), queues.len());
    }

    /// A good region with bytes changed, also while it is read.
    #[test]
    fn damaged_regions(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        fields in prop::collection::vec((0..0x400usize, any::<u8>()), 0..3),
        changes in prop::collection::vec(prop_oneof![4 => Just(0), 1 => any::<u8>()], 0..8),
    ) {
        let (layout, mut bytes) = good();
        for (index, value) in damage {
            let at = index.index(bytes.len());
            bytes[at] ^= value;
        }
        for (at, value) in fields {
            bytes[at] ^= value;
        }
        // Accepted or refused, the invariants in there hold.
        let _ = invalid(check(&bytes, layout.len(), &changes));
    }

    #[test]
    fn random_regions(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        announced in 0..0x2000u32,
    ) {
        prop_assert!(invalid(check(&bytes, announced, &[])).is_some());
    }
}
