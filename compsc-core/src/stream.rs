// SPDX-License-Identifier: GPL-2.0

//! The migration stream, version 1: what the host's driver sends from source to target.
//!
//! A [header](StreamHeader) that identifies the device, sent already while the guest runs so that an impossible migration
//! fails before anything stops; then, when the device has stopped, records of type, flags, length and payload, the last
//! one holding a CRC-32 of everything before it. All numbers are little-endian. A few hundred bytes; never
//! more than [`MAX_STREAM`]. `Documentation/ABI/compsc-migration-stream.rst` is the reference.
//!
//! Record types with [`MANDATORY`] set must be understood by the reader; others are skipped when unknown.

use crate::region::{
    HEADER_LEN as REGION_HEADER_LEN,
    MAX_COUNTERS,
    MAX_QUEUES,
    MAX_REGION, //
};
use core::fmt;
use core::mem::size_of;
use zerocopy::little_endian::{
    U16,
    U32,
    U64, //
};
use zerocopy::{
    FromBytes as _,
    IntoBytes as _, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    Unaligned, //
};

/// First eight bytes of a stream: `CompSCms`.
pub const MAGIC: u64 = u64::from_le_bytes(*b"CompSCms");
/// Version of the format.
pub const VERSION: u16 = 1;
/// Longest stream in bytes.
pub const MAX_STREAM: usize = 65536;
/// Flag in a record's type: a reader that does not know the type must refuse the stream.
pub const MANDATORY: u16 = 1 << 15;

/// Record types.
pub mod record {
    use super::MANDATORY;

    /// Location of the shared region in guest memory. Absent when the guest has announced none.
    pub const REGION: u16 = MANDATORY | 1;
    /// Gate word at the stop. Present exactly when REGION is.
    pub const GATE: u16 = MANDATORY | 2;
    /// Raw values of self-emulated counters.
    pub const COUNTERS: u16 = MANDATORY | 3;
    /// Transmit descriptors that could not be drained, per queue; for reports only.
    pub const UNSENT: u16 = 4;
    /// Checksum; the last record.
    pub const END: u16 = MANDATORY | 0x7fff;
}

/// The start of the stream.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct StreamHeader {
    /// 0: [`MAGIC`].
    pub magic: U64,
    /// 8: [`VERSION`].
    pub version: U16,
    /// 10: length of the header in bytes, 24 in this version; a longer one is an error.
    pub header_len: U16,
    /// 12: PCI vendor id of the function.
    pub vendor: U16,
    /// 14: PCI device id of the function.
    pub device: U16,
    /// 16: chip id.
    pub chip: U16,
    /// 18: [`role`](crate::region::role).
    pub role: U16,
    /// 20: queue pairs that the function has.
    pub max_queues: U16,
    /// 22: version of the shared region's layout.
    pub abi: U16,
}

/// Size of the header in bytes.
pub const HEADER_LEN: usize = size_of::<StreamHeader>();

/// The start of each record.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RecordHeader {
    /// 0: type, see [`record`].
    pub kind: U16,
    /// 2: 0 in this version; ignored in records that are skipped.
    pub flags: U16,
    /// 4: length of the payload in bytes.
    pub len: U32,
}

/// Payload of REGION.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RegionPayload {
    iova: U64,
    len: U32,
}

/// Element of COUNTERS.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct CounterPayload {
    register: U32,
    width: u8,
    reserved: [u8; 3],
    raw: U64,
}

/// Element of UNSENT.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct UnsentPayload {
    queue: U16,
    reserved: U16,
    count: U32,
}

const _: () = {
    assert!(HEADER_LEN == 24);
    assert!(size_of::<RecordHeader>() == 8);
    assert!(size_of::<RegionPayload>() == 12);
    assert!(size_of::<CounterPayload>() == 16);
    assert!(size_of::<UnsentPayload>() == 8);
};

/// What a function is, as far as a migration is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// PCI vendor id.
    pub vendor: u16,
    /// PCI device id.
    pub device: u16,
    /// Chip id.
    pub chip: u16,
    /// [`role`](crate::region::role).
    pub role: u16,
    /// Queue pairs that the function has.
    pub max_queues: u16,
    /// Version of the shared region's layout that the host understands.
    pub abi: u16,
}

/// Why a stream is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// The stream does not begin with [`MAGIC`].
    Magic {
        /// What it begins with.
        value: u64,
    },
    /// The version is not known here.
    Version {
        /// The stream's version.
        value: u16,
    },
    /// The header has another length than this version's.
    HeaderLength {
        /// The stream's header length.
        value: u16,
    },
    /// Source and target are different devices.
    Incompatible {
        /// What differs.
        field: &'static str,
        /// At the source.
        source: u16,
        /// At the target.
        target: u16,
    },
    /// More bytes than a stream may have, or than the reader's buffer takes.
    TooLong {
        /// How many were allowed.
        limit: u32,
    },
    /// The stream ends within the header or a record, or before the END record.
    Truncated {
        /// Bytes received.
        len: u32,
    },
    /// Bytes follow the END record.
    TrailingBytes {
        /// How many.
        count: u32,
    },
    /// A record that must be understood is unknown here.
    UnknownRecord {
        /// Its type.
        kind: u16,
    },
    /// A record appears twice.
    DuplicateRecord {
        /// Its type.
        kind: u16,
    },
    /// A record that has to be there is not.
    MissingRecord {
        /// Its type.
        kind: u16,
    },
    /// A record has a length that its type cannot have.
    RecordLength {
        /// Its type.
        kind: u16,
        /// Its length.
        len: u32,
    },
    /// A record holds a value that is not allowed.
    RecordValue {
        /// Its type.
        kind: u16,
        /// The field.
        field: &'static str,
        /// The value.
        value: u64,
    },
    /// The checksum does not match: the stream was damaged.
    Checksum {
        /// As sent.
        sent: u32,
        /// As computed.
        computed: u32,
    },
}

fn kind_name(kind: u16) -> &'static str {
    match kind {
        record::REGION => "REGION",
        record::GATE => "GATE",
        record::COUNTERS => "COUNTERS",
        record::UNSENT => "UNSENT",
        record::END => "END",
        _ => "unknown",
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("migration stream: ")?;
        match *self {
            Self::Magic { value } => {
                write!(f, "begins with {value:#018x}, not with the magic {MAGIC:#018x}")
            }
            Self::Version { value } => write!(f, "version {value}, known here is {VERSION}"),
            Self::HeaderLength { value } => {
                write!(f, "header of {value} bytes, version {VERSION} has {HEADER_LEN}")
            }
            Self::Incompatible {
                field,
                source,
                target,
            } => write!(
                f,
                "source has {field} {source:#06x}, target has {target:#06x}: use a target function of the source's kind"
            ),
            Self::TooLong { limit } => write!(f, "longer than {limit} bytes"),
            Self::Truncated { len } => write!(f, "ends after {len} bytes in the middle"),
            Self::TrailingBytes { count } => write!(f, "{count} bytes after the END record"),
            Self::UnknownRecord { kind } => {
                write!(f, "mandatory record {kind:#06x} is not known here")
            }
            Self::DuplicateRecord { kind } => write!(f, "two {} records", kind_name(kind)),
            Self::MissingRecord { kind } => write!(f, "no {} record", kind_name(kind)),
            Self::RecordLength { kind, len } => {
                write!(f, "{} record of {len} bytes", kind_name(kind))
            }
            Self::RecordValue { kind, field, value } => {
                write!(f, "{} record: {field} is {value:#x}", kind_name(kind))
            }
            Self::Checksum { sent, computed } => {
                write!(f, "checksum is {computed:#010x}, sent was {sent:#010x}")
            }
        }
    }
}

/// Checks whether a device of the source's identity can go on as one of the target's.
pub fn check_compatible(source: &Identity, target: &Identity) -> Result<(), StreamError> {
    let equal = [
        ("vendor id", source.vendor, target.vendor),
        ("device id", source.device, target.device),
        ("chip", source.chip, target.chip),
        ("role", source.role, target.role),
        ("region ABI", source.abi, target.abi),
    ];
    for (field, source, target) in equal {
        if source != target {
            return Err(StreamError::Incompatible {
                field,
                source,
                target,
            });
        }
    }
    if source.max_queues > target.max_queues {
        return Err(StreamError::Incompatible {
            field: "queue pairs",
            source: source.max_queues,
            target: target.max_queues,
        });
    }
    Ok(())
}

/// Continues a CRC-32 (IEEE 802.3, reflected) over more bytes. Start with 0.
pub const fn crc32(crc: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut i = 0;
        while i < 16 {
            let mut value = i as u32;
            let mut bit = 0;
            while bit < 4 {
                value = if value & 1 != 0 {
                    0xedb8_8320 ^ (value >> 1)
                } else {
                    value >> 1
                };
                bit += 1;
            }
            table[i] = value;
            i += 1;
        }
        table
    };
    let mut crc = !crc;
    let mut i = 0;
    while i < bytes.len() {
        crc ^= bytes[i] as u32;
        crc = TABLE[(crc & 15) as usize] ^ (crc >> 4);
        crc = TABLE[(crc & 15) as usize] ^ (crc >> 4);
        i += 1;
    }
    !crc
}

/// Where the shared region is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionLocation {
    /// DMA address, a multiple of 4096.
    pub iova: u64,
    /// Length in bytes.
    pub len: u32,
}

/// A counter's raw value in the stopped function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterValue {
    /// Byte offset of the register.
    pub register: u32,
    /// Width in bits.
    pub width: u8,
    /// Raw value.
    pub raw: u64,
}

impl CounterValue {
    const NONE: Self = Self {
        register: 0,
        width: 0,
        raw: 0,
    };
}

/// Transmit descriptors of a queue that could not be drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsent {
    /// The queue's number in the hardware.
    pub queue: u16,
    /// Number of descriptors.
    pub count: u32,
}

impl Unsent {
    const NONE: Self = Self { queue: 0, count: 0 };
}

/// A list of at most `N` elements.
#[derive(Clone, Copy, Debug)]
pub struct List<T, const N: usize> {
    items: [T; N],
    len: usize,
}

impl<T: Copy, const N: usize> List<T, N> {
    /// No element. `unused` is in their places: an `Option` would make them half as large again, on a kernel's stack.
    const fn new(unused: T) -> Self {
        Self {
            items: [unused; N],
            len: 0,
        }
    }

    fn push(&mut self, item: T) -> Option<()> {
        *self.items.get_mut(self.len)? = item;
        self.len += 1;
        Some(())
    }

    /// Number of elements.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.items.iter().copied().take(self.len)
    }
}

/// What a complete stream says.
#[derive(Clone, Copy, Debug)]
pub struct DeviceState {
    /// The source.
    pub source: Identity,
    /// The shared region, when the guest has announced one.
    pub region: Option<RegionLocation>,
    /// Gate word at the stop; there exactly when `region` is.
    pub gate: Option<u32>,
    /// Counters.
    pub counters: List<CounterValue, MAX_COUNTERS>,
    /// Undrained queues.
    pub unsent: List<Unsent, MAX_QUEUES>,
}

/// Writes a stream into a buffer.
///
/// # Examples
///
/// ```
/// use compsc_core::stream::*;
///
/// let vf = Identity { vendor: 0x8086, device: 0x10ca, chip: 1, role: 1, max_queues: 1, abi: 1 };
/// let mut out = [0; 256];
/// let mut writer = Writer::new(&mut out, &vf)?;
/// assert_eq!(writer.bytes().len(), HEADER_LEN); // Sent while the guest runs.
/// writer.region(RegionLocation { iova: 0x10000, len: 8192 })?;
/// writer.gate(0x100)?;
/// let len = writer.end()?;
///
/// let mut buffer = [0; 256];
/// let mut parser = Parser::new(&mut buffer, vf);
/// for piece in out[..len].chunks(7) {
///     parser.push(piece)?;
/// }
/// assert_eq!(parser.finish()?.gate, Some(0x100));
/// # Ok::<(), StreamError>(())
/// ```
#[derive(Debug)]
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// Starts a stream: writes the header.
    pub fn new(buffer: &'a mut [u8], identity: &Identity) -> Result<Self, StreamError> {
        let mut writer = Self { buffer, len: 0 };
        writer.put(
            StreamHeader {
                magic: U64::new(MAGIC),
                version: U16::new(VERSION),
                // CAST: 24.
                header_len: U16::new(HEADER_LEN as u16),
                vendor: U16::new(identity.vendor),
                device: U16::new(identity.device),
                chip: U16::new(identity.chip),
                role: U16::new(identity.role),
                max_queues: U16::new(identity.max_queues),
                abi: U16::new(identity.abi),
            }
            .as_bytes(),
        )?;
        Ok(writer)
    }

    /// What was written so far.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        let limit = self.buffer.len().min(MAX_STREAM);
        let end = self.len.wrapping_add(bytes.len());
        if end > limit {
            // CAST: at most MAX_STREAM.
            return Err(StreamError::TooLong {
                limit: limit as u32,
            });
        }
        self.buffer[self.len..end].copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    fn record(&mut self, kind: u16, len: usize) -> Result<(), StreamError> {
        let header = RecordHeader {
            kind: U16::new(kind),
            flags: U16::ZERO,
            // CAST: payloads are bounded by the buffer.
            len: U32::new(len as u32),
        };
        self.put(header.as_bytes())
    }

    /// Adds the location of the shared region; [`gate`](Self::gate) has to be there too.
    pub fn region(&mut self, region: RegionLocation) -> Result<(), StreamError> {
        self.record(record::REGION, size_of::<RegionPayload>())?;
        self.put(
            RegionPayload {
                iova: U64::new(region.iova),
                len: U32::new(region.len),
            }
            .as_bytes(),
        )
    }

    /// Adds the gate word.
    pub fn gate(&mut self, word: u32) -> Result<(), StreamError> {
        self.record(record::GATE, 4)?;
        self.put(&word.to_le_bytes())
    }

    /// Adds the counters' raw values.
    pub fn counters(&mut self, counters: &[CounterValue]) -> Result<(), StreamError> {
        self.record(
            record::COUNTERS,
            counters.len() * size_of::<CounterPayload>(),
        )?;
        for counter in counters {
            self.put(
                CounterPayload {
                    register: U32::new(counter.register),
                    width: counter.width,
                    reserved: [0; 3],
                    raw: U64::new(counter.raw),
                }
                .as_bytes(),
            )?;
        }
        Ok(())
    }

    /// Adds the queues that could not be drained.
    pub fn unsent(&mut self, queues: &[Unsent]) -> Result<(), StreamError> {
        self.record(record::UNSENT, queues.len() * size_of::<UnsentPayload>())?;
        for unsent in queues {
            self.put(
                UnsentPayload {
                    queue: U16::new(unsent.queue),
                    reserved: U16::ZERO,
                    count: U32::new(unsent.count),
                }
                .as_bytes(),
            )?;
        }
        Ok(())
    }

    /// Ends the stream and returns its length.
    pub fn end(mut self) -> Result<usize, StreamError> {
        self.record(record::END, 4)?;
        let crc = crc32(0, self.bytes());
        self.put(&crc.to_le_bytes())?;
        Ok(self.len)
    }
}

/// Reads a stream that arrives in pieces.
///
/// The pieces are collected in the caller's buffer; the header is checked as soon as it is complete, the rest in
/// [`finish`](Self::finish). After an error the parser stays in that error.
#[derive(Debug)]
pub struct Parser<'a> {
    buffer: &'a mut [u8],
    target: Identity,
    len: usize,
    source: Option<Identity>,
    failed: Option<StreamError>,
}

impl<'a> Parser<'a> {
    /// A parser for a stream to the function `target`. The stream may be as long as the buffer, and not longer than
    /// [`MAX_STREAM`].
    pub fn new(buffer: &'a mut [u8], target: Identity) -> Self {
        Self {
            buffer,
            target,
            len: 0,
            source: None,
            failed: None,
        }
    }

    /// The source, once the header has arrived and passed the checks.
    pub const fn source(&self) -> Option<&Identity> {
        self.source.as_ref()
    }

    /// Bytes received so far.
    pub const fn received(&self) -> usize {
        self.len
    }

    /// Takes the next bytes of the stream. The error of a wrong or incompatible header comes here.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.take(bytes);
        self.failed = result.err();
        result
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        let limit = self.buffer.len().min(MAX_STREAM);
        if bytes.len() > limit - self.len {
            // CAST: at most MAX_STREAM.
            return Err(StreamError::TooLong {
                limit: limit as u32,
            });
        }
        let end = self.len + bytes.len();
        self.buffer[self.len..end].copy_from_slice(bytes);
        self.len = end;
        if self.source.is_none() {
            if let Ok((header, _)) = StreamHeader::ref_from_prefix(&self.buffer[..end]) {
                self.source = Some(check_header(header, &self.target)?);
            }
        }
        Ok(())
    }

    /// Checks the complete stream and returns what it says.
    pub fn finish(&self) -> Result<DeviceState, StreamError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut state = DeviceState {
            source: self.source.ok_or(self.truncated())?,
            region: None,
            gate: None,
            counters: const { List::new(CounterValue::NONE) },
            unsent: const { List::new(Unsent::NONE) },
        };
        self.read_records(&mut state)?;
        match (state.region, state.gate) {
            (Some(_), None) => Err(StreamError::MissingRecord { kind: record::GATE }),
            (None, Some(_)) => Err(StreamError::MissingRecord {
                kind: record::REGION,
            }),
            _ => Ok(state),
        }
    }

    const fn truncated(&self) -> StreamError {
        // CAST: at most MAX_STREAM.
        StreamError::Truncated {
            len: self.len as u32,
        }
    }

    fn read_records(&self, state: &mut DeviceState) -> Result<(), StreamError> {
        let stream = &self.buffer[..self.len];
        let truncated = self.truncated();
        let mut seen = Seen::default();
        let mut rest = &stream[HEADER_LEN..];
        loop {
            let (header, after) = RecordHeader::ref_from_prefix(rest).map_err(|_| truncated)?;
            let (kind, len) = (header.kind.get(), header.len.get());
            let payload = after.get(..len as usize).ok_or(truncated)?;
            let known = matches!(
                kind,
                record::REGION | record::GATE | record::COUNTERS | record::UNSENT | record::END
            );
            if known && header.flags.get() != 0 {
                return Err(StreamError::RecordValue {
                    kind,
                    field: "flags",
                    value: u64::from(header.flags.get()),
                });
            }
            if known {
                seen.once(kind)?;
            }
            if kind == record::END {
                // The checksum covers everything before its own four bytes.
                let sent = read_u32(kind, payload)?;
                let covered = self.len - after.len();
                let computed = crc32(0, &stream[..covered]);
                if sent != computed {
                    return Err(StreamError::Checksum { sent, computed });
                }
                rest = &after[payload.len()..];
                break;
            }
            state.take(kind, payload)?;
            rest = &after[payload.len()..];
        }
        if !rest.is_empty() {
            // CAST: at most MAX_STREAM.
            return Err(StreamError::TrailingBytes {
                count: rest.len() as u32,
            });
        }
        Ok(())
    }
}

/// Which known records have appeared.
#[derive(Default)]
struct Seen(u8);

impl Seen {
    fn once(&mut self, kind: u16) -> Result<(), StreamError> {
        // Known types are 1 to 4 and END, whose low bits are all 1.
        let bit = 1 << (kind & 7);
        if self.0 & bit != 0 {
            return Err(StreamError::DuplicateRecord { kind });
        }
        self.0 |= bit;
        Ok(())
    }
}

fn check_header(header: &StreamHeader, target: &Identity) -> Result<Identity, StreamError> {
    if header.magic.get() != MAGIC {
        return Err(StreamError::Magic {
            value: header.magic.get(),
        });
    }
    if header.version.get() != VERSION {
        return Err(StreamError::Version {
            value: header.version.get(),
        });
    }
    if usize::from(header.header_len.get()) != HEADER_LEN {
        return Err(StreamError::HeaderLength {
            value: header.header_len.get(),
        });
    }
    let source = Identity {
        vendor: header.vendor.get(),
        device: header.device.get(),
        chip: header.chip.get(),
        role: header.role.get(),
        max_queues: header.max_queues.get(),
        abi: header.abi.get(),
    };
    check_compatible(&source, target)?;
    Ok(source)
}

fn read_u32(kind: u16, payload: &[u8]) -> Result<u32, StreamError> {
    match U32::read_from_bytes(payload) {
        Ok(value) => Ok(value.get()),
        Err(_) => Err(wrong_length(kind, payload)),
    }
}

fn wrong_length(kind: u16, payload: &[u8]) -> StreamError {
    // CAST: at most MAX_STREAM.
    StreamError::RecordLength {
        kind,
        len: payload.len() as u32,
    }
}

impl DeviceState {
    fn take(&mut self, kind: u16, payload: &[u8]) -> Result<(), StreamError> {
        let bad = |field, value| Err(StreamError::RecordValue { kind, field, value });
        match kind {
            record::REGION => {
                let payload = RegionPayload::ref_from_bytes(payload)
                    .map_err(|_| wrong_length(kind, payload))?;
                let (iova, len) = (payload.iova.get(), payload.len.get());
                if iova % 4096 != 0 || iova.checked_add(u64::from(len)).is_none() {
                    return bad("address", iova);
                }
                if !(REGION_HEADER_LEN..=MAX_REGION).contains(&len) {
                    return bad("length", u64::from(len));
                }
                self.region = Some(RegionLocation { iova, len });
            }
            record::GATE => self.gate = Some(read_u32(kind, payload)?),
            record::COUNTERS => {
                let counters = <[CounterPayload]>::ref_from_bytes(payload)
                    .map_err(|_| wrong_length(kind, payload))?;
                for counter in counters {
                    let width = counter.width;
                    if !(1..=64).contains(&width) {
                        return bad("width", u64::from(width));
                    }
                    let raw = counter.raw.get();
                    if raw > u64::MAX >> (64 - width) {
                        return bad("raw value", raw);
                    }
                    self.counters
                        .push(CounterValue {
                            register: counter.register.get(),
                            width,
                            raw,
                        })
                        .ok_or(wrong_length(kind, payload))?;
                }
            }
            record::UNSENT => {
                let queues = <[UnsentPayload]>::ref_from_bytes(payload)
                    .map_err(|_| wrong_length(kind, payload))?;
                for unsent in queues {
                    self.unsent
                        .push(Unsent {
                            queue: unsent.queue.get(),
                            count: unsent.count.get(),
                        })
                        .ok_or(wrong_length(kind, payload))?;
                }
            }
            unknown if unknown & MANDATORY != 0 => {
                return Err(StreamError::UnknownRecord { kind });
            }
            _ => {}
        }
        Ok(())
    }
}
