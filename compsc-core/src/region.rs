// SPDX-License-Identifier: GPL-2.0

//! The region of guest memory that the guest's driver and the host's driver share, ABI version 1.
//!
//! The guest allocates it, lays it out with [`Layout`] and announces it (see [`capability`](crate::capability)). The host reads
//! it with [`Reader`], which trusts nothing: every byte is copied once into a local copy and checked
//! there. All numbers are little-endian, all offsets count bytes from the start of the region.
//! `Documentation/ABI/compsc-shared-region.rst` is the reference.
//!
//! ```text
//! 0x000  Header (256 bytes)
//!          0x00  written by the guest before it announces the region
//!          0x40  written by the host while the vCPUs are stopped; the gate word comes first
//!          0x80  written by the guest: figures of the last restore
//! then, each aligned to 64 bytes:
//!        log       log_slots × 8 bytes                (see crate::log)
//!        counters  counters_count × CounterEntry
//!        queues    queues_count × QueueEntry
//!        tables    per receive queue ring_len × 8 bytes: DMA addresses of the posted buffers, 0 = none
//! ```

use crate::capability::REGION_LENGTH_MAX;
use crate::counter::Mode;
use core::fmt;
use core::mem::{
    offset_of,
    size_of, //
};
use zerocopy::little_endian::{
    U16,
    U32,
    U64, //
};
use zerocopy::{
    FromZeros,
    IntoBytes, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};

/// First eight bytes of a region: `CompSC`, 0, 1.
pub const MAGIC: u64 = u64::from_le_bytes(*b"CompSC\0\x01");
/// Version of the layout.
pub const ABI_VERSION: u16 = 1;
/// Longest region in bytes.
pub const MAX_REGION: u32 = REGION_LENGTH_MAX;
/// Most queues, receive and transmit together.
pub const MAX_QUEUES: usize = 16;
/// Most descriptors per queue.
pub const MAX_RING: u32 = 4096;
/// Most self-emulated counters.
pub const MAX_COUNTERS: usize = 64;
/// Most log slots.
pub const MAX_SLOTS: usize = 1024;
/// Longest receive buffer in bytes.
pub const MAX_BUFFER: u32 = 16384;
/// Bytes per descriptor.
pub const DESC_SIZE: u16 = 16;
/// Required alignment of a ring's address in bytes.
pub const RING_ALIGN: u64 = 128;
/// Alignment of each part of the region in bytes: a cache line.
pub const PART_ALIGN: u32 = 64;

/// What kind of function a register map or a region belongs to.
pub mod role {
    /// Virtual function.
    pub const VF: u16 = 1;
    /// Physical function.
    pub const PF: u16 = 2;
}

/// States of the device as op sets leave it (paper, optimisation 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum DeviceState {
    /// The driver has not set up the device: nothing to restore.
    Uninitialised = 0,
    /// The interface is up: queues run.
    Up = 1,
    /// The driver has set up the device, the interface is down.
    Down = 2,
}

impl DeviceState {
    /// The state of a raw value.
    pub const fn from_raw(raw: u32) -> Option<Self> {
        match raw {
            0 => Some(Self::Uninitialised),
            1 => Some(Self::Up),
            2 => Some(Self::Down),
            _ => None,
        }
    }
}

impl fmt::Display for DeviceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Uninitialised => "uninitialised",
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// Kinds of queue in [`QueueEntry::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum QueueKind {
    /// Receive: the device writes descriptors and posted buffers.
    Rx = 1,
    /// Transmit: the device writes descriptors.
    Tx = 2,
}

impl fmt::Display for QueueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Rx => "rx",
            Self::Tx => "tx",
        })
    }
}

/// The start of the region.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// 0x00: [`MAGIC`].
    pub magic: U64,
    /// 0x08: [`ABI_VERSION`].
    pub abi: U16,
    /// 0x0a: length of this header in bytes, 256.
    pub header_len: U16,
    /// 0x0c: chip id.
    pub chip: U16,
    /// 0x0e: [`role`].
    pub role: U16,
    /// 0x10: length of the region in bytes.
    pub region_len: U32,
    /// 0x14: [`DeviceState`].
    pub device_state: U32,
    /// 0x18: offset of the log.
    pub log_offset: U32,
    /// 0x1c: number of log slots.
    pub log_slots: U32,
    /// 0x20: offset of the [`CounterEntry`] array.
    pub counters_offset: U32,
    /// 0x24: number of counters.
    pub counters_count: U32,
    /// 0x28: offset of the [`QueueEntry`] array.
    pub queues_offset: U32,
    /// 0x2c: number of queue entries.
    pub queues_count: U32,
    /// 0x30: MSI-X vector that the host raises after it has replaced the device.
    pub kick_vector: U16,
    /// 0x32: 0.
    pub reserved0: U16,
    /// 0x34: 0.
    pub reserved1: [U32; 3],

    /// 0x40, host: gate word (see [`crate::gate`]).
    pub gate_word: U32,
    /// 0x44, host: how often the host has made the guest restore.
    pub host_restarts: U32,
    /// 0x48, host: version (see [`crate::gate::version`]) of the gate word that the `frozen` values of the counters
    /// belong to.
    pub frozen_version: U32,
    /// 0x4c, host: 0.
    pub reserved2: U32,
    /// 0x50, host: transmit descriptors that the stop could not drain, by the host's count.
    pub undrained: U32,
    /// 0x54, host: 0.
    pub reserved3: [U32; 11],

    /// 0x80, guest: gate word that the device was last restored for.
    pub restored_word: U32,
    /// 0x84, guest: number of restores.
    pub restores: U32,
    /// 0x88, guest: duration of the last restore in nanoseconds.
    pub last_restore_ns: U64,
    /// 0x90, guest: of which in [`RestorePart`] 0 to 3, in nanoseconds.
    pub restore_parts_ns: [U64; 4],
    /// 0xb0, guest: descriptors dummy-written.
    pub dummy_descriptors: U64,
    /// 0xb8, guest: buffer pages dummy-written.
    pub dummy_pages: U64,
    /// 0xc0, guest: transmit packets laid out again in restores.
    pub resent: U64,
    /// 0xc8, guest: 0.
    pub reserved4: [U64; 7],
}

/// Parts of a restore, in the order of [`Header::restore_parts_ns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum RestorePart {
    /// Device reset until the physical function reports it done.
    Reset = 0,
    /// Mailbox requests.
    Mailbox = 1,
    /// Register replay.
    Replay = 2,
    /// Rings, queue enables and the kick.
    Rings = 3,
}

/// Size of the header in bytes.
pub const HEADER_LEN: u32 = size_of::<Header>() as u32;

const _: () = {
    assert!(size_of::<Header>() == 256);
    assert!(offset_of!(Header, region_len) == 0x10);
    assert!(offset_of!(Header, queues_count) == 0x2c);
    assert!(offset_of!(Header, kick_vector) == 0x30);
    assert!(offset_of!(Header, gate_word) == 0x40);
    assert!(offset_of!(Header, undrained) == 0x50);
    assert!(offset_of!(Header, restored_word) == 0x80);
    assert!(offset_of!(Header, restore_parts_ns) == 0x90);
    assert!(offset_of!(Header, resent) == 0xc0);
    assert!(size_of::<CounterEntry>() == 32);
    assert!(offset_of!(CounterEntry, host_flags) == 6);
    assert!(offset_of!(CounterEntry, frozen) == 24);
    assert!(size_of::<QueueEntry>() == 64);
    assert!(offset_of!(QueueEntry, ring_addr) == 8);
    assert!(offset_of!(QueueEntry, table_offset) == 36);
    assert!(offset_of!(QueueEntry, writeback_addr) == 40);
};

/// Byte offsets of the fields that one side accesses while the other may look.
pub mod offset {
    use super::*;

    /// Device state (guest).
    pub const DEVICE_STATE: usize = offset_of!(Header, device_state);
    /// Gate word (host).
    pub const GATE_WORD: usize = offset_of!(Header, gate_word);
    /// Restart count (host).
    pub const HOST_RESTARTS: usize = offset_of!(Header, host_restarts);
    /// Version of the frozen counters (host).
    pub const FROZEN_VERSION: usize = offset_of!(Header, frozen_version);
    /// Undrained transmit descriptors (host).
    pub const UNDRAINED: usize = offset_of!(Header, undrained);
    /// Word of the last restore (guest).
    pub const RESTORED_WORD: usize = offset_of!(Header, restored_word);
    /// Restore count (guest).
    pub const RESTORES: usize = offset_of!(Header, restores);
    /// Duration of the last restore (guest).
    pub const LAST_RESTORE_NS: usize = offset_of!(Header, last_restore_ns);
    /// Durations of its parts (guest).
    pub const RESTORE_PARTS_NS: usize = offset_of!(Header, restore_parts_ns);
    /// Dummy-written descriptors (guest).
    pub const DUMMY_DESCRIPTORS: usize = offset_of!(Header, dummy_descriptors);
    /// Dummy-written pages (guest).
    pub const DUMMY_PAGES: usize = offset_of!(Header, dummy_pages);
    /// Packets laid out again (guest).
    pub const RESENT: usize = offset_of!(Header, resent);

    /// In a counter entry: flags of the host.
    pub const COUNTER_HOST_FLAGS: usize = offset_of!(CounterEntry, host_flags);
    /// In a counter entry: base (guest).
    pub const COUNTER_BASE: usize = offset_of!(CounterEntry, base);
    /// In a counter entry: last raw value (guest).
    pub const COUNTER_LAST: usize = offset_of!(CounterEntry, last);
    /// In a counter entry: frozen raw value (host).
    pub const COUNTER_FROZEN: usize = offset_of!(CounterEntry, frozen);

    /// In a queue entry: kind (guest).
    pub const QUEUE_KIND: usize = offset_of!(QueueEntry, kind);
    /// In a queue entry: next index to post (guest).
    pub const QUEUE_NEXT_TO_USE: usize = offset_of!(QueueEntry, next_to_use);
    /// In a queue entry: oldest posted index (guest).
    pub const QUEUE_NEXT_TO_CLEAN: usize = offset_of!(QueueEntry, next_to_clean);
    /// In a queue entry: head offset (guest).
    pub const QUEUE_HEAD_OFFSET: usize = offset_of!(QueueEntry, head_offset);
}

/// Flag of [`CounterEntry::flags`]: reading the register clears it.
pub const COUNTER_READ_CLEAR: u8 = 1 << 0;
/// Flag of [`CounterEntry::host_flags`]: `frozen` holds a value read from the stopped function.
pub const COUNTER_FROZEN: u8 = 1 << 0;

/// One self-emulated counter.
///
/// The host writes `frozen` and [`COUNTER_FROZEN`] for each counter that it could read, then
/// [`Header::frozen_version`], then the gate word. The guest believes `frozen` if the flag is set and
/// `frozen_version` is the version that it restores for.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CounterEntry {
    /// 0: byte offset of the register.
    pub register: U32,
    /// 4: width in bits. Above 32, the upper half is the register at `register` + 4.
    pub width: u8,
    /// 5, guest: [`COUNTER_READ_CLEAR`].
    pub flags: u8,
    /// 6, host: [`COUNTER_FROZEN`].
    pub host_flags: u8,
    /// 7: 0.
    pub reserved: u8,
    /// 8, guest: value of the counter at the last read.
    pub base: U64,
    /// 16, guest: raw value at the last read.
    pub last: U64,
    /// 24, host: raw value of the stopped function.
    pub frozen: U64,
}

/// One queue.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct QueueEntry {
    /// 0: [`QueueKind`], or 0 while the entry is unused or being changed. Written last.
    pub kind: U16,
    /// 2: the queue's number in the hardware.
    pub hw_index: U16,
    /// 4: number of descriptors, a multiple of 8.
    pub ring_len: U32,
    /// 8: DMA address of the ring.
    pub ring_addr: U64,
    /// 16: bytes per descriptor, 16.
    pub desc_size: U16,
    /// 18: 0.
    pub reserved0: U16,
    /// 20: receive: how many bytes the device may write to each posted buffer; transmit: 0.
    pub buffer_len: U32,
    /// 24: next index to post, free running.
    pub next_to_use: U32,
    /// 28: oldest posted index, free running.
    pub next_to_clean: U32,
    /// 32: slot = (index - head_offset) mod ring_len.
    pub head_offset: U32,
    /// 36: receive: offset of the table of posted buffers; transmit: 0.
    pub table_offset: U32,
    /// 40: DMA address of the 4 bytes to which the device writes back its head, 0 when it does not.
    pub writeback_addr: U64,
    /// 48: 0.
    pub reserved1: [U64; 2],
}

impl CounterEntry {
    /// The entry of a counter that has counted nothing.
    pub fn describe(register: u32, width: u8, mode: Mode) -> Self {
        let mut entry = Self::new_zeroed();
        entry.register.set(register);
        entry.width = width;
        entry.flags = match mode {
            Mode::FreeRunning => 0,
            Mode::ReadClear => COUNTER_READ_CLEAR,
        };
        entry
    }
}

impl QueueEntry {
    /// The entry of a ring at bus address `ring_addr` with `ring_len` descriptors, without posted buffers.
    pub fn describe(kind: QueueKind, hw_index: u16, ring_addr: u64, ring_len: u32) -> Self {
        let mut entry = Self::new_zeroed();
        // CAST: the kinds are numbers of 16 bits.
        entry.kind.set(kind as u16);
        entry.hw_index.set(hw_index);
        entry.ring_addr.set(ring_addr);
        entry.ring_len.set(ring_len);
        entry.desc_size.set(DESC_SIZE);
        entry
    }
}

/// Why a region is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionError {
    /// The region does not begin with [`MAGIC`].
    Magic {
        /// What it begins with.
        value: u64,
    },
    /// A field is outside of what is allowed.
    Range {
        /// The field.
        field: &'static str,
        /// Element of an array, 0 for the header.
        element: u16,
        /// What the field holds.
        value: u64,
        /// Smallest allowed value.
        min: u64,
        /// Largest allowed value.
        max: u64,
    },
    /// A field is not a multiple of what it has to be.
    Alignment {
        /// The field.
        field: &'static str,
        /// Element of an array, 0 for the header.
        element: u16,
        /// What the field holds.
        value: u64,
        /// What it has to be a multiple of.
        align: u64,
    },
    /// Two parts of the region overlap.
    Overlap {
        /// One part.
        first: &'static str,
        /// Its element.
        first_element: u16,
        /// The other part.
        second: &'static str,
        /// Its element.
        second_element: u16,
    },
    /// Two entries describe the same thing.
    Duplicate {
        /// What the entries name twice.
        field: &'static str,
        /// The later element.
        element: u16,
        /// The value.
        value: u64,
    },
}

impl fmt::Display for RegionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Magic { value } => write!(
                f,
                "shared region begins with {value:#018x}, not with the magic {MAGIC:#018x}"
            ),
            Self::Range {
                field,
                element,
                value,
                min,
                max,
            } => write!(
                f,
                "shared region: {field} (entry {element}) is {value:#x}, allowed is {min:#x} to {max:#x}"
            ),
            Self::Alignment {
                field,
                element,
                value,
                align,
            } => write!(
                f,
                "shared region: {field} (entry {element}) is {value:#x}, not a multiple of {align}"
            ),
            Self::Overlap {
                first,
                first_element,
                second,
                second_element,
            } => write!(
                f,
                "shared region: {first} (entry {first_element}) overlaps {second} (entry {second_element})"
            ),
            Self::Duplicate {
                field,
                element,
                value,
            } => write!(
                f,
                "shared region: {field} {value:#x} (entry {element}) is described twice"
            ),
        }
    }
}

fn in_range(
    field: &'static str,
    element: usize,
    value: u64,
    min: u64,
    max: u64,
) -> Result<(), RegionError> {
    if value < min || value > max {
        return Err(RegionError::Range {
            field,
            // CAST: elements are bounded by the maxima above.
            element: element as u16,
            value,
            min,
            max,
        });
    }
    Ok(())
}

fn aligned(field: &'static str, element: usize, value: u64, align: u64) -> Result<(), RegionError> {
    // A mask: `align` is a power of two.
    if value & (align - 1) != 0 {
        return Err(RegionError::Alignment {
            field,
            // CAST: elements are bounded by the maxima above.
            element: element as u16,
            value,
            align,
        });
    }
    Ok(())
}

/// A part of the region: an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Offset of the first element.
    pub offset: u32,
    /// Number of elements.
    pub count: u32,
}

/// A part's place, for the check that nothing overlaps.
#[derive(Clone, Copy)]
struct Span {
    name: &'static str,
    element: u16,
    start: u32,
    len: u32,
}

impl Span {
    fn disjoint(&self, other: &Self) -> Result<(), RegionError> {
        // No wrap: both were checked to end inside the region.
        if self.len != 0
            && other.len != 0
            && self.start < other.start + other.len
            && other.start < self.start + self.len
        {
            return Err(RegionError::Overlap {
                first: self.name,
                first_element: self.element,
                second: other.name,
                second_element: other.element,
            });
        }
        Ok(())
    }
}

/// Where everything is in a region that the guest is about to allocate.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    slots: u32,
    counters: u32,
    queues: u32,
    tables: [u32; MAX_QUEUES],
    len: u32,
}

impl Layout {
    /// The layout for `slots` log slots, `counters` counters, and queues of these kinds with at most so
    /// many descriptors. Errors name the count that is too large.
    pub fn new(
        slots: usize,
        counters: usize,
        queues: &[(QueueKind, u32)],
    ) -> Result<Self, RegionError> {
        in_range("log_slots", 0, slots as u64, 1, MAX_SLOTS as u64)?;
        in_range("counters_count", 0, counters as u64, 0, MAX_COUNTERS as u64)?;
        in_range("queues_count", 0, queues.len() as u64, 1, MAX_QUEUES as u64)?;
        // CAST: all three were just checked.
        let mut layout = Self {
            slots: slots as u32,
            counters: counters as u32,
            queues: queues.len() as u32,
            tables: [0; MAX_QUEUES],
            len: 0,
        };
        // No wrap: the maxima add up to far less than 4 GiB.
        let mut end = layout.queues_offset() + layout.queues * size_of::<QueueEntry>() as u32;
        for (i, &(kind, ring_len)) in queues.iter().enumerate() {
            in_range("ring_len", i, u64::from(ring_len), 8, u64::from(MAX_RING))?;
            if kind == QueueKind::Rx {
                layout.tables[i] = end;
                end = align_part(end + ring_len * 8);
            }
        }
        in_range("region_len", 0, u64::from(end), 0, u64::from(MAX_REGION))?;
        layout.len = end;
        Ok(layout)
    }

    /// Length of the region in bytes.
    #[allow(clippy::len_without_is_empty)]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Offset of the log.
    pub const fn log_offset(&self) -> u32 {
        HEADER_LEN
    }

    /// Offset of the counter entries.
    pub const fn counters_offset(&self) -> u32 {
        align_part(self.log_offset() + self.slots * 8)
    }

    /// Offset of the queue entries.
    pub const fn queues_offset(&self) -> u32 {
        align_part(self.counters_offset() + self.counters * size_of::<CounterEntry>() as u32)
    }

    /// Offset of a counter's entry.
    ///
    /// # Panics
    ///
    /// When there is no counter `index`.
    pub const fn counter_offset(&self, index: u32) -> u32 {
        assert!(index < self.counters);
        self.counters_offset() + index * size_of::<CounterEntry>() as u32
    }

    /// Offset of a queue's entry.
    ///
    /// # Panics
    ///
    /// When there is no queue `index`.
    pub const fn queue_offset(&self, index: u32) -> u32 {
        assert!(index < self.queues);
        self.queues_offset() + index * size_of::<QueueEntry>() as u32
    }

    /// Offset of a receive queue's table of posted buffers; 0 for a transmit queue.
    ///
    /// # Panics
    ///
    /// When there is no queue `index`.
    pub const fn table_offset(&self, index: u32) -> u32 {
        assert!(index < self.queues);
        self.tables[index as usize]
    }

    /// The header to start with: device uninitialised, gate word 0.
    pub fn header(&self, chip: u16, role: u16, kick_vector: u16) -> Header {
        let mut header = Header::new_zeroed();
        header.magic = U64::new(MAGIC);
        header.abi = U16::new(ABI_VERSION);
        // CAST: 256.
        header.header_len = U16::new(HEADER_LEN as u16);
        header.chip = U16::new(chip);
        header.role = U16::new(role);
        header.region_len = U32::new(self.len);
        header.log_offset = U32::new(self.log_offset());
        header.log_slots = U32::new(self.slots);
        header.counters_offset = U32::new(self.counters_offset());
        header.counters_count = U32::new(self.counters);
        header.queues_offset = U32::new(self.queues_offset());
        header.queues_count = U32::new(self.queues);
        header.kick_vector = U16::new(kick_vector);
        header
    }
}

const fn align_part(offset: u32) -> u32 {
    (offset + PART_ALIGN - 1) & !(PART_ALIGN - 1)
}

/// Memory that the region lies in, as the host reaches it.
pub trait ReadAt {
    /// Why memory could not be read.
    type Error;

    /// Copies `buf.len()` bytes at `offset` of the region. The reader stays inside the announced length.
    fn read_at(&self, offset: u32, buf: &mut [u8]) -> Result<(), Self::Error>;
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    type Error = T::Error;

    fn read_at(&self, offset: u32, buf: &mut [u8]) -> Result<(), Self::Error> {
        (**self).read_at(offset, buf)
    }
}

/// Why [`Reader`] gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError<E> {
    /// The memory could not be read.
    Memory(E),
    /// The region holds something that is not allowed.
    Invalid(RegionError),
}

impl<E> From<RegionError> for ReadError<E> {
    fn from(error: RegionError) -> Self {
        Self::Invalid(error)
    }
}

impl<E: fmt::Display> fmt::Display for ReadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(error) => write!(f, "shared region cannot be read: {error}"),
            Self::Invalid(error) => error.fmt(f),
        }
    }
}

/// A header that passed all checks, in native numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Chip id.
    pub chip: u16,
    /// [`role`].
    pub role: u16,
    /// Length in bytes.
    pub len: u32,
    /// Device state.
    pub device_state: DeviceState,
    /// Log slots.
    pub log: Part,
    /// Counter entries.
    pub counters: Part,
    /// Queue entries.
    pub queues: Part,
    /// Vector to raise after the device was replaced.
    pub kick_vector: u16,
    /// Gate word.
    pub gate_word: u32,
    /// How often the host has made the guest restore.
    pub host_restarts: u32,
    /// Gate word that the guest last restored for.
    pub restored_word: u32,
    /// Number of restores.
    pub restores: u32,
    /// Duration of the last restore in nanoseconds.
    pub last_restore_ns: u64,
    /// Durations of its [`RestorePart`]s.
    pub restore_parts_ns: [u64; 4],
    /// Descriptors dummy-written.
    pub dummy_descriptors: u64,
    /// Pages dummy-written.
    pub dummy_pages: u64,
    /// Transmit packets laid out again.
    pub resent: u64,
}

impl Region {
    /// Checks a local copy of a header against the announced length.
    pub fn parse(header: &Header, announced_len: u32) -> Result<Self, RegionError> {
        if header.magic.get() != MAGIC {
            return Err(RegionError::Magic {
                value: header.magic.get(),
            });
        }
        let abi = u64::from(ABI_VERSION);
        in_range("abi", 0, u64::from(header.abi.get()), abi, abi)?;
        let header_len = u64::from(HEADER_LEN);
        in_range(
            "header_len",
            0,
            u64::from(header.header_len.get()),
            header_len,
            header_len,
        )?;
        let len = header.region_len.get();
        in_range(
            "region_len",
            0,
            u64::from(len),
            header_len,
            u64::from(announced_len.min(MAX_REGION)),
        )?;
        in_range("role", 0, u64::from(header.role.get()), 1, 2)?;
        let device_state =
            DeviceState::from_raw(header.device_state.get()).ok_or(RegionError::Range {
                field: "device_state",
                element: 0,
                value: u64::from(header.device_state.get()),
                min: 0,
                max: 2,
            })?;

        let spans = [
            ("log", header.log_offset, header.log_slots, MAX_SLOTS, 8),
            (
                "counters",
                header.counters_offset,
                header.counters_count,
                MAX_COUNTERS,
                size_of::<CounterEntry>(),
            ),
            (
                "queues",
                header.queues_offset,
                header.queues_count,
                MAX_QUEUES,
                size_of::<QueueEntry>(),
            ),
        ];
        let mut parts = [Span {
            name: "header",
            element: 0,
            start: 0,
            len: HEADER_LEN,
        }; 4];
        for (i, &(name, offset, count, max_count, size)) in spans.iter().enumerate() {
            let (offset, count) = (offset.get(), count.get());
            in_range(name, 0, u64::from(count), 0, max_count as u64)?;
            // CAST: at most 1024 × 8, 64 × 32 or 16 × 64.
            let bytes = count * size as u32;
            aligned(name, 0, u64::from(offset), 8)?;
            in_range(
                name,
                0,
                u64::from(offset) + u64::from(bytes),
                header_len,
                u64::from(len),
            )?;
            parts[i + 1] = Span {
                name,
                element: 0,
                start: offset,
                len: bytes,
            };
        }
        for (i, part) in parts.iter().enumerate() {
            for other in &parts[..i] {
                part.disjoint(other)?;
            }
        }

        Ok(Self {
            chip: header.chip.get(),
            role: header.role.get(),
            len,
            device_state,
            log: Part {
                offset: header.log_offset.get(),
                count: header.log_slots.get(),
            },
            counters: Part {
                offset: header.counters_offset.get(),
                count: header.counters_count.get(),
            },
            queues: Part {
                offset: header.queues_offset.get(),
                count: header.queues_count.get(),
            },
            kick_vector: header.kick_vector.get(),
            gate_word: header.gate_word.get(),
            host_restarts: header.host_restarts.get(),
            restored_word: header.restored_word.get(),
            restores: header.restores.get(),
            last_restore_ns: header.last_restore_ns.get(),
            restore_parts_ns: header.restore_parts_ns.map(|ns| ns.get()),
            dummy_descriptors: header.dummy_descriptors.get(),
            dummy_pages: header.dummy_pages.get(),
            resent: header.resent.get(),
        })
    }

    /// Offset of the entry of counter `index`, which must be below `counters.count`.
    pub const fn counter_offset(&self, index: u32) -> u32 {
        self.counters.offset + index * size_of::<CounterEntry>() as u32
    }

    fn spans(&self) -> [Span; 4] {
        // CAST: entry sizes.
        [
            ("header", 0, HEADER_LEN),
            ("log", self.log.offset, self.log.count * 8),
            (
                "counters",
                self.counters.offset,
                self.counters.count * size_of::<CounterEntry>() as u32,
            ),
            (
                "queues",
                self.queues.offset,
                self.queues.count * size_of::<QueueEntry>() as u32,
            ),
        ]
        .map(|(name, start, len)| Span {
            name,
            element: 0,
            start,
            len,
        })
    }
}

/// A queue entry that passed all checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Number of the entry.
    pub entry: u16,
    /// Kind.
    pub kind: QueueKind,
    /// The queue's number in the hardware.
    pub hw_index: u16,
    /// Number of descriptors.
    pub ring_len: u32,
    /// DMA address of the ring. `ring_addr` + [`ring_bytes`](Self::ring_bytes) does not wrap.
    pub ring_addr: u64,
    /// Bytes that the device may write to each posted buffer; 0 for transmit.
    pub buffer_len: u32,
    /// Next index to post.
    pub next_to_use: u32,
    /// Oldest posted index; at most `ring_len` before `next_to_use`.
    pub next_to_clean: u32,
    /// Head offset.
    pub head_offset: u32,
    /// DMA address of the head write-back, 0 when unused.
    pub writeback_addr: u64,
    table_offset: u32,
}

impl Queue {
    /// Size of the ring in bytes.
    pub const fn ring_bytes(&self) -> u32 {
        self.ring_len * DESC_SIZE as u32
    }

    fn parse(
        entry: &QueueEntry,
        element: usize,
        region_len: u32,
    ) -> Result<Option<Self>, RegionError> {
        let kind = match entry.kind.get() {
            0 => return Ok(None),
            1 => QueueKind::Rx,
            2 => QueueKind::Tx,
            other => {
                in_range("queue.kind", element, u64::from(other), 0, 2)?;
                return Ok(None);
            }
        };
        let hw_index = entry.hw_index.get();
        in_range("queue.hw_index", element, u64::from(hw_index), 0, 127)?;
        let ring_len = entry.ring_len.get();
        in_range(
            "queue.ring_len",
            element,
            u64::from(ring_len),
            8,
            u64::from(MAX_RING),
        )?;
        aligned("queue.ring_len", element, u64::from(ring_len), 8)?;
        let desc_size = u64::from(DESC_SIZE);
        in_range(
            "queue.desc_size",
            element,
            u64::from(entry.desc_size.get()),
            desc_size,
            desc_size,
        )?;
        let ring_addr = entry.ring_addr.get();
        in_range(
            "queue.ring_addr",
            element,
            ring_addr,
            1,
            u64::MAX - u64::from(ring_len) * desc_size,
        )?;
        aligned("queue.ring_addr", element, ring_addr, RING_ALIGN)?;
        let (next_to_use, next_to_clean) = (entry.next_to_use.get(), entry.next_to_clean.get());
        in_range(
            "queue.next_to_use - next_to_clean",
            element,
            u64::from(next_to_use.wrapping_sub(next_to_clean)),
            0,
            u64::from(ring_len),
        )?;
        let writeback_addr = entry.writeback_addr.get();
        aligned("queue.writeback_addr", element, writeback_addr, 4)?;
        let (buffer_len, table_offset) = (entry.buffer_len.get(), entry.table_offset.get());
        match kind {
            QueueKind::Rx => {
                in_range(
                    "queue.buffer_len",
                    element,
                    u64::from(buffer_len),
                    1,
                    u64::from(MAX_BUFFER),
                )?;
                aligned("queue.table_offset", element, u64::from(table_offset), 8)?;
                in_range(
                    "queue.table_offset",
                    element,
                    u64::from(table_offset),
                    u64::from(HEADER_LEN),
                    u64::from(region_len.saturating_sub(ring_len * 8)),
                )?;
            }
            QueueKind::Tx => {
                in_range("queue.buffer_len", element, u64::from(buffer_len), 0, 0)?;
                in_range("queue.table_offset", element, u64::from(table_offset), 0, 0)?;
            }
        }
        Ok(Some(Self {
            // CAST: elements are bounded by MAX_QUEUES.
            entry: element as u16,
            kind,
            hw_index,
            ring_len,
            ring_addr,
            buffer_len,
            next_to_use,
            next_to_clean,
            head_offset: entry.head_offset.get(),
            writeback_addr,
            table_offset,
        }))
    }

    fn table(&self) -> Span {
        Span {
            name: "table of posted buffers",
            element: self.entry,
            start: self.table_offset,
            len: match self.kind {
                QueueKind::Rx => self.ring_len * 8,
                QueueKind::Tx => 0,
            },
        }
    }
}

/// A counter entry that passed all checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Byte offset of the register, a multiple of 4.
    pub register: u32,
    /// Width in bits.
    pub width: u8,
    /// Whether reading the register clears it.
    pub read_clear: bool,
    /// Value at the guest's last read.
    pub base: u64,
    /// Raw value at the guest's last read.
    pub last: u64,
}

/// The host's view of a region. Holds no reference into guest memory; what it returns are checked
/// copies, made once.
///
/// # Examples
///
/// ```
/// # use compsc_core::region::*;
/// # use zerocopy::IntoBytes;
/// # struct Memory(Vec<u8>);
/// # impl ReadAt for Memory {
/// #     type Error = core::convert::Infallible;
/// #     fn read_at(&self, offset: u32, buf: &mut [u8]) -> Result<(), Self::Error> {
/// #         let offset = offset as usize;
/// #         Ok(buf.copy_from_slice(&self.0[offset..offset + buf.len()]))
/// #     }
/// # }
/// let layout = Layout::new(40, 9, &[(QueueKind::Rx, 256), (QueueKind::Tx, 256)])?;
/// let mut memory = Memory(vec![0; layout.len() as usize]);
/// memory.0[..256].copy_from_slice(layout.header(1, role::VF, 2).as_bytes());
///
/// let reader = Reader::open(&memory, layout.len()).unwrap();
/// assert_eq!(reader.region().device_state, DeviceState::Uninitialised);
/// // The driver has not filled in its queues yet.
/// assert_eq!(reader.queues().unwrap().iter().count(), 0);
/// # Ok::<(), RegionError>(())
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    memory: R,
    region: Region,
}

impl<R: ReadAt> Reader<R> {
    /// Copies the header and checks it. `announced_len` bytes of `memory` can be read.
    pub fn open(memory: R, announced_len: u32) -> Result<Self, ReadError<R::Error>> {
        in_range(
            "announced length",
            0,
            u64::from(announced_len),
            u64::from(HEADER_LEN),
            u64::from(MAX_REGION),
        )?;
        let mut header = Header::new_zeroed();
        memory
            .read_at(0, header.as_mut_bytes())
            .map_err(ReadError::Memory)?;
        let region = Region::parse(&header, announced_len)?;
        Ok(Self { memory, region })
    }

    /// The checked header.
    pub const fn region(&self) -> &Region {
        &self.region
    }

    /// Copies and checks all queue entries. Entries of kind 0 are left out.
    pub fn queues(&self) -> Result<Queues, ReadError<R::Error>> {
        let mut queues = Queues {
            queues: [None; MAX_QUEUES],
        };
        let parts = self.region.spans();
        for element in 0..self.region.queues.count as usize {
            let mut entry = QueueEntry::new_zeroed();
            // CAST: at most 16 entries of 64 bytes, inside the region.
            let offset = self.region.queues.offset + (element * size_of::<QueueEntry>()) as u32;
            self.memory
                .read_at(offset, entry.as_mut_bytes())
                .map_err(ReadError::Memory)?;
            let Some(queue) = Queue::parse(&entry, element, self.region.len)? else {
                continue;
            };
            for part in &parts {
                queue.table().disjoint(part)?;
            }
            for other in queues.iter() {
                if other.kind == queue.kind && other.hw_index == queue.hw_index {
                    return Err(RegionError::Duplicate {
                        field: "queue.hw_index",
                        element: queue.entry,
                        value: u64::from(queue.hw_index),
                    }
                    .into());
                }
                queue.table().disjoint(&other.table())?;
            }
            queues.queues[element] = Some(queue);
        }
        Ok(queues)
    }

    /// Copies and checks counter entry `index`; `window` is the size of the register window in bytes.
    pub fn counter(&self, index: u32, window: u32) -> Result<Counter, ReadError<R::Error>> {
        in_range(
            "counter index",
            0,
            u64::from(index),
            0,
            u64::from(self.region.counters.count.saturating_sub(1)),
        )?;
        if self.region.counters.count == 0 {
            in_range("counters_count", 0, 0, 1, MAX_COUNTERS as u64)?;
        }
        let mut entry = CounterEntry::new_zeroed();
        self.memory
            .read_at(self.region.counter_offset(index), entry.as_mut_bytes())
            .map_err(ReadError::Memory)?;
        let element = index as usize;
        in_range("counter.width", element, u64::from(entry.width), 1, 64)?;
        let bytes = if entry.width > 32 { 8 } else { 4 };
        let register = entry.register.get();
        aligned("counter.register", element, u64::from(register), 4)?;
        in_range(
            "counter.register",
            element,
            u64::from(register),
            0,
            u64::from(window.saturating_sub(bytes)),
        )?;
        in_range(
            "counter.flags",
            element,
            u64::from(entry.flags),
            0,
            u64::from(COUNTER_READ_CLEAR),
        )?;
        Ok(Counter {
            register,
            width: entry.width,
            read_clear: entry.flags & COUNTER_READ_CLEAR != 0,
            base: entry.base.get(),
            last: entry.last.get(),
        })
    }

    /// All counters in order; see [`counter`](Self::counter).
    pub fn counters(
        &self,
        window: u32,
    ) -> impl Iterator<Item = Result<Counter, ReadError<R::Error>>> + use<'_, R> {
        (0..self.region.counters.count).map(move |index| self.counter(index, window))
    }

    /// The buffers posted in a receive queue, as (entry of the table, DMA address); the device may write
    /// [`Queue::buffer_len`] bytes to each. Addresses plus that length do not wrap. Ends after an error.
    pub fn posted(&self, queue: &Queue) -> Posted<'_, R> {
        Posted {
            reader: self,
            queue: *queue,
            next: 0,
            end: match queue.kind {
                QueueKind::Rx => queue.ring_len,
                QueueKind::Tx => 0,
            },
            chunk: [U64::ZERO; CHUNK as usize],
        }
    }

    /// Copies log slot `index`, for tools.
    pub fn log_slot(&self, index: u32) -> Result<u64, ReadError<R::Error>> {
        in_range(
            "log slot",
            0,
            u64::from(index) + 1,
            1,
            u64::from(self.region.log.count),
        )?;
        let mut slot = U64::ZERO;
        self.memory
            .read_at(self.region.log.offset + index * 8, slot.as_mut_bytes())
            .map_err(ReadError::Memory)?;
        Ok(slot.get())
    }
}

/// The checked queues of a region.
#[derive(Clone, Copy, Debug)]
pub struct Queues {
    queues: [Option<Queue>; MAX_QUEUES],
}

impl Queues {
    /// The queues in the order of their entries.
    pub fn iter(&self) -> impl Iterator<Item = &Queue> {
        self.queues.iter().flatten()
    }
}

/// Table entries copied at a time.
const CHUNK: u32 = 32;

/// Iterator of [`Reader::posted`].
pub struct Posted<'a, R> {
    reader: &'a Reader<R>,
    queue: Queue,
    next: u32,
    end: u32,
    chunk: [U64; CHUNK as usize],
}

impl<R: ReadAt> Iterator for Posted<'_, R> {
    type Item = Result<(u32, u64), ReadError<R::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.next < self.end {
            let slot = self.next;
            let within = slot % CHUNK;
            if within == 0 {
                let count = CHUNK.min(self.end - slot) as usize;
                if let Err(error) = self.reader.memory.read_at(
                    self.queue.table_offset + slot * 8,
                    self.chunk[..count].as_mut_bytes(),
                ) {
                    self.end = 0;
                    return Some(Err(ReadError::Memory(error)));
                }
            }
            self.next = slot + 1;
            let address = self.chunk[within as usize].get();
            if address == 0 {
                continue;
            }
            if let Err(error) = in_range(
                "posted buffer",
                usize::from(self.queue.entry),
                address,
                1,
                u64::MAX - u64::from(self.queue.buffer_len),
            ) {
                self.end = 0;
                return Some(Err(error.into()));
            }
            return Some(Ok((slot, address)));
        }
        None
    }
}
