// SPDX-License-Identifier: GPL-2.0

//! What must hold for any bytes that a decoder is given. The fuzz targets and the tests of this crate run the
//! same functions.

use compsc_core::region::{
    role, QueueKind, ReadAt, ReadError, Reader, RegionError, MAX_BUFFER, MAX_COUNTERS, MAX_QUEUES,
    MAX_REGION, MAX_RING, MAX_SLOTS,
};
use compsc_core::stream::{
    crc32, record, Identity, Parser, StreamError, Unsent, Writer, HEADER_LEN, MAX_STREAM,
};
use std::cell::Cell;

/// The function that the streams in the tests are meant for.
pub(crate) const TARGET: Identity = Identity {
    vendor: 0x8086,
    device: 0x10ca,
    chip: 1,
    role: role::VF,
    max_queues: 2,
    abi: 1,
};

/// Buffer for a stream. Miri is too slow for the largest one; its streams are short.
const BUFFER: usize = if cfg!(miri) { 2048 } else { MAX_STREAM };

/// Parses a stream in pieces whose length follows from `pieces`, and checks that an accepted stream says something
/// allowed, and the same as its re-encoding.
pub(crate) fn stream(bytes: &[u8], pieces: u8) -> Result<(), StreamError> {
    let mut buffer = vec![0; BUFFER];
    let mut parser = Parser::new(&mut buffer, TARGET);
    let mut result = Ok(());
    for piece in bytes.chunks(usize::from(pieces) % 23 + 1) {
        result = parser.push(piece);
        if result.is_err() {
            break;
        }
    }
    let result = result.and_then(|()| parser.finish());

    // The pieces must make no difference.
    let mut whole_buffer = vec![0; BUFFER];
    let mut whole = Parser::new(&mut whole_buffer, TARGET);
    let at_once = whole.push(bytes).and_then(|()| whole.finish());
    assert_eq!(result.as_ref().err(), at_once.as_ref().err());

    let state = result.inspect_err(|error| assert!(!error.to_string().is_empty()))?;
    assert!(bytes.len() > HEADER_LEN && bytes.len() <= MAX_STREAM);
    assert!(state.source.max_queues <= TARGET.max_queues);
    assert_eq!(state.region.is_some(), state.gate.is_some());
    if let Some(region) = state.region {
        assert!(region.len <= MAX_REGION && region.iova % 4096 == 0);
        assert!(region.iova.checked_add(u64::from(region.len)).is_some());
    }
    for counter in state.counters.iter() {
        assert!((1..=64).contains(&counter.width));
        assert!(counter.raw <= u64::MAX >> (64 - counter.width));
    }

    let mut again = vec![0; BUFFER];
    let mut writer = Writer::new(&mut again, &state.source).unwrap();
    if let (Some(region), Some(gate)) = (state.region, state.gate) {
        writer.region(region).unwrap();
        writer.gate(gate).unwrap();
    }
    let counters: Vec<_> = state.counters.iter().collect();
    writer.counters(&counters).unwrap();
    let unsent: Vec<Unsent> = state.unsent.iter().collect();
    writer.unsent(&unsent).unwrap();
    let len = writer.end().unwrap();
    let mut buffer = vec![0; BUFFER];
    let mut parser = Parser::new(&mut buffer, TARGET);
    parser.push(&again[..len]).unwrap();
    let same = parser.finish().unwrap();
    assert_eq!(same.region, state.region);
    assert_eq!(same.gate, state.gate);
    assert!(same.counters.iter().eq(state.counters.iter()));
    assert!(same.unsent.iter().eq(state.unsent.iter()));
    Ok(())
}

/// A stream with a good header and checksum around `records`, so that random bytes get past both.
pub(crate) fn dress(records: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN];
    Writer::new(&mut bytes, &TARGET).unwrap();
    bytes.extend_from_slice(records);
    bytes.extend_from_slice(&record::END.to_le_bytes());
    bytes.extend_from_slice(&[0, 0, 4, 0, 0, 0]);
    let crc = crc32(0, &bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Memory that another CPU changes while it is read: each byte that is read is replaced afterwards. Behind
/// the given bytes it holds zeroes.
struct Hostile<'a> {
    bytes: Vec<Cell<u8>>,
    len: usize,
    changes: &'a [u8],
    reads: Cell<usize>,
}

impl ReadAt for Hostile<'_> {
    type Error = String;

    fn read_at(&self, offset: u32, buf: &mut [u8]) -> Result<(), String> {
        let start = offset as usize;
        assert!(
            start + buf.len() <= self.len,
            "read of {} bytes at {start:#x}",
            buf.len()
        );
        for (at, to) in (start..).zip(buf) {
            let Some(cell) = self.bytes.get(at) else {
                *to = 0;
                continue;
            };
            *to = cell.get();
            let n = self.reads.get();
            self.reads.set(n + 1);
            if !self.changes.is_empty() {
                cell.set(cell.get() ^ self.changes[n % self.changes.len()]);
            }
        }
        Ok(())
    }
}

/// Reads a region of any content, of which `announced` bytes are readable and which changes while it
/// is read; checks that whatever is accepted is within what the reader promises.
pub(crate) fn region(
    bytes: &[u8],
    announced: u32,
    changes: &[u8],
) -> Result<(), ReadError<String>> {
    let memory = Hostile {
        bytes: bytes.iter().copied().map(Cell::new).collect(),
        len: announced as usize,
        changes,
        reads: Cell::new(0),
    };
    let reader = Reader::open(&memory, announced)?;
    let info = *reader.region();
    assert!(info.len <= announced && info.len <= MAX_REGION);
    for (part, size, max) in [
        (info.log, 8, MAX_SLOTS),
        (info.counters, 32, MAX_COUNTERS),
        (info.queues, 64, MAX_QUEUES),
    ] {
        assert!(part.count as usize <= max);
        assert!(part.offset + part.count * size <= info.len);
    }
    for slot in 0..info.log.count {
        reader.log_slot(slot)?;
    }
    for counter in reader.counters(0x4000) {
        let counter = counter?;
        assert!((1..=64).contains(&counter.width));
        assert!(counter.register % 4 == 0 && counter.register < 0x4000);
    }
    let queues = reader.queues()?;
    for queue in queues.iter() {
        assert!((8..=MAX_RING).contains(&queue.ring_len));
        assert!(queue
            .ring_addr
            .checked_add(u64::from(queue.ring_bytes()))
            .is_some());
        assert!(queue.next_to_use.wrapping_sub(queue.next_to_clean) <= queue.ring_len);
        assert!(queue.buffer_len <= MAX_BUFFER);
        let mut count = 0;
        for posted in reader.posted(queue) {
            let (slot, address) = posted?;
            assert!(slot < queue.ring_len && address != 0);
            assert!(address.checked_add(u64::from(queue.buffer_len)).is_some());
            count += 1;
        }
        assert!(count <= queue.ring_len);
        assert!(count == 0 || queue.kind == QueueKind::Rx);
    }
    Ok(())
}

/// The error of a region that holds something that is not allowed.
pub(crate) fn invalid(result: Result<(), ReadError<String>>) -> Option<RegionError> {
    match result {
        Ok(()) => None,
        Err(ReadError::Invalid(error)) => {
            assert!(!error.to_string().is_empty());
            Some(error)
        }
        Err(ReadError::Memory(error)) => panic!("{error}"),
    }
}
