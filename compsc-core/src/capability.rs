// SPDX-License-Identifier: GPL-2.0

//! The vendor-specific PCI capability by which the host tells the guest's driver that the function
//! may be migrated, and by which the driver announces its shared region.
//!
//! The host's VFIO variant driver overlays it on the function's virtual configuration space; no
//! hardware implements it. Layout (little-endian, offsets from the capability's start):
//!
//! | offset | size | access | field |
//! |---|---|---|---|
//! | 0 | 1 | ro | capability id, 9 (vendor-specific) |
//! | 1 | 1 | ro | next capability, 0: this one is the last |
//! | 2 | 1 | ro | length of the capability, 24 |
//! | 3 | 1 | ro | ABI version, 1 |
//! | 4 | 4 | ro | signature, the bytes `CPSC` |
//! | 8 | 4 | rw | control (write) and status (read), see [`CONTROL_ANNOUNCE`], [`STATUS_ACCEPTED`] |
//! | 12 | 4 | rw | region length in bytes |
//! | 16 | 4 | rw | region address, low half |
//! | 20 | 4 | rw | region address, high half |
//!
//! The address is what the device would use for DMA (the guest's bus address). The driver writes
//! length and address, then control with [`CONTROL_ANNOUNCE`], and reads the status back: the host
//! takes over length and address at that moment only. Writing control without that bit retracts the
//! region; the driver does so before it frees the memory. The host forgets the region when the
//! machine is reset, and the status shows it.

/// Capability id: vendor-specific.
pub const CAP_ID: u8 = 0x09;
/// Version of this layout.
pub const ABI_VERSION: u8 = 1;
/// Length of the capability in bytes.
pub const LENGTH: usize = 24;
/// Signature that tells this capability from other vendor-specific ones: the bytes `CPSC`.
pub const SIGNATURE: u32 = u32::from_le_bytes(*b"CPSC");

/// Offset of the length field (one byte).
pub const OFFSET_LENGTH: usize = 2;
/// Offset of the ABI version (one byte).
pub const OFFSET_VERSION: usize = 3;
/// Offset of the signature.
pub const OFFSET_SIGNATURE: usize = 4;
/// Offset of control and status.
pub const OFFSET_CONTROL: usize = 8;
/// Offset of the region's length in bytes.
pub const OFFSET_REGION_LENGTH: usize = 12;
/// Offset of the region address's low half.
pub const OFFSET_REGION_ADDRESS_LOW: usize = 16;
/// Offset of the region address's high half.
pub const OFFSET_REGION_ADDRESS_HIGH: usize = 20;

/// Control, write: take over length and address. Written as 0, the region is retracted.
pub const CONTROL_ANNOUNCE: u32 = 1 << 0;
/// Status, read: a region is announced and its address and length are sane. Its content is checked
/// when a migration begins.
pub const STATUS_ACCEPTED: u32 = 1 << 0;
/// Status, read: the host can migrate this function.
pub const STATUS_MIGRATABLE: u32 = 1 << 1;

/// The region starts on a page boundary of this size.
pub const REGION_ALIGNMENT: u64 = 4096;
/// Longest region in bytes that the host accepts.
pub const REGION_LENGTH_MAX: u32 = 1 << 20;

/// Location of an announced region in the guest's bus address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    address: u64,
    length: u32,
}

impl Announcement {
    /// Checks a location that the guest or a migration stream names.
    ///
    /// Returns `None` unless the address is aligned to [`REGION_ALIGNMENT`], the length is between
    /// one page and [`REGION_LENGTH_MAX`], and the end does not wrap.
    pub const fn new(address: u64, length: u32) -> Option<Self> {
        if address % REGION_ALIGNMENT != 0
            || (length as u64) < REGION_ALIGNMENT
            || length > REGION_LENGTH_MAX
            || address.checked_add(length as u64).is_none()
        {
            return None;
        }
        Some(Self { address, length })
    }

    /// Bus address of the region's first byte.
    pub const fn address(self) -> u64 {
        self.address
    }

    /// Length in bytes.
    pub const fn length(self) -> u32 {
        self.length
    }
}

/// What a write to the capability means for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The guest announced this region.
    Announced(Announcement),
    /// The guest announced a region whose address or length is not acceptable.
    Rejected,
    /// The guest retracted its region, whether or not one was announced.
    Retracted,
}

/// Host side of the capability: the register file behind the guest's configuration cycles.
///
/// Every offset, size and value is acceptable; what is not writable is ignored, as hardware does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    region: [u8; LENGTH - OFFSET_REGION_LENGTH],
    accepted: Option<Announcement>,
}

impl Registers {
    /// Registers with no region announced.
    pub const fn new() -> Self {
        Self {
            region: [0; LENGTH - OFFSET_REGION_LENGTH],
            accepted: None,
        }
    }

    /// The region that is announced now.
    pub const fn announced(&self) -> Option<Announcement> {
        self.accepted
    }

    /// Takes over a region announced to another host: the guest's view after a migration.
    pub fn restore(&mut self, announced: Option<Announcement>) {
        *self = Self::new();
        if let Some(a) = announced {
            self.region[..4].copy_from_slice(&a.length.to_le_bytes());
            self.region[4..].copy_from_slice(&a.address.to_le_bytes());
            self.accepted = announced;
        }
    }

    /// One byte of the capability as the guest reads it; 0 beyond its end.
    pub fn byte(&self, offset: usize) -> u8 {
        let status = STATUS_MIGRATABLE
            | match self.accepted {
                Some(_) => STATUS_ACCEPTED,
                None => 0,
            };
        match offset {
            0 => CAP_ID,
            1 => 0,
            OFFSET_LENGTH => LENGTH as u8,
            OFFSET_VERSION => ABI_VERSION,
            OFFSET_SIGNATURE..OFFSET_CONTROL => SIGNATURE.to_le_bytes()[offset - OFFSET_SIGNATURE],
            OFFSET_CONTROL..OFFSET_REGION_LENGTH => status.to_le_bytes()[offset - OFFSET_CONTROL],
            OFFSET_REGION_LENGTH..LENGTH => self.region[offset - OFFSET_REGION_LENGTH],
            _ => 0,
        }
    }

    /// The guest writes `data` at `offset`, in any size and alignment. The event is that of the
    /// control field's first byte, which is taken after all other bytes of the same write.
    pub fn write(&mut self, offset: usize, data: &[u8]) -> Option<Event> {
        let mut control = None;
        for (i, &byte) in data.iter().enumerate() {
            match offset.checked_add(i) {
                Some(OFFSET_CONTROL) => control = Some(byte),
                Some(at @ OFFSET_REGION_LENGTH..LENGTH) => {
                    self.region[at - OFFSET_REGION_LENGTH] = byte;
                }
                _ => {}
            }
        }
        let control = u32::from(control?);
        if control & CONTROL_ANNOUNCE == 0 {
            self.accepted = None;
            return Some(Event::Retracted);
        }
        let [l0, l1, l2, l3, address @ ..] = self.region;
        self.accepted = Announcement::new(
            u64::from_le_bytes(address),
            u32::from_le_bytes([l0, l1, l2, l3]),
        );
        Some(match self.accepted {
            Some(a) => Event::Announced(a),
            None => Event::Rejected,
        })
    }
}

/// Size of the configuration space that holds standard capabilities, in bytes.
pub const CONFIG_SIZE: usize = 256;
/// Offset of the first byte that a capability may occupy.
const CONFIG_CAPABILITIES: usize = 0x40;
/// Offset of the pointer to the first capability.
const CONFIG_LIST: usize = 0x34;
/// Where the capability goes if that place is free.
const PREFERRED: usize = 0xe0;

/// Where the capability appears in a function's configuration space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Offset of the capability.
    pub offset: u8,
    /// Offset of the byte that must read as `offset`: the next pointer of the last capability.
    pub link: u8,
}

/// Finds a place for the capability at the end of a function's chain of capabilities.
///
/// `read(offset)` gives a byte of the configuration space as the guest sees it, and `is_free(offset)`
/// tells whether a byte from 0x40 on belongs to no capability. Returns `None` when the chain is
/// broken (a loop, a pointer into the header) or no gap is long enough.
pub fn place(read: impl Fn(u8) -> u8, is_free: impl Fn(u8) -> bool) -> Option<Placement> {
    let mut link = CONFIG_LIST as u8;
    // A capability takes at least four bytes, so a longer chain has a loop.
    let mut left = (CONFIG_SIZE - CONFIG_CAPABILITIES) / 4;
    loop {
        let next = read(link) & !3;
        if next == 0 {
            break;
        }
        if usize::from(next) < CONFIG_CAPABILITIES || left == 0 {
            return None;
        }
        left -= 1;
        link = next + 1;
    }
    let fits = |start: usize| (start..start + LENGTH).all(|at| is_free(at as u8));
    let last = CONFIG_SIZE - LENGTH;
    let offset = core::iter::once(PREFERRED)
        .chain((CONFIG_CAPABILITIES..=last).rev().filter(|at| at % 4 == 0))
        .find(|&start| fits(start))?;
    Some(Placement {
        offset: offset as u8,
        link,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_u32(r: &Registers, offset: usize) -> u32 {
        u32::from_le_bytes(core::array::from_fn(|i| r.byte(offset + i)))
    }

    #[test]
    fn announce_in_dwords() {
        let mut r = Registers::new();
        assert_eq!(read_u32(&r, 0) & 0xffff_00ff, 0x0118_0009);
        assert_eq!(read_u32(&r, OFFSET_SIGNATURE), SIGNATURE);
        assert_eq!(read_u32(&r, OFFSET_CONTROL), STATUS_MIGRATABLE);
        assert_eq!(
            r.write(OFFSET_REGION_LENGTH, &0x2000u32.to_le_bytes()),
            None
        );
        assert_eq!(
            r.write(OFFSET_REGION_ADDRESS_LOW, &0x1234_5000u32.to_le_bytes()),
            None
        );
        assert_eq!(
            r.write(OFFSET_REGION_ADDRESS_HIGH, &1u32.to_le_bytes()),
            None
        );
        assert_eq!(read_u32(&r, OFFSET_CONTROL), STATUS_MIGRATABLE);
        let a = Announcement::new(0x1_1234_5000, 0x2000).unwrap();
        assert_eq!(
            r.write(OFFSET_CONTROL, &CONTROL_ANNOUNCE.to_le_bytes()),
            Some(Event::Announced(a))
        );
        assert_eq!(
            read_u32(&r, OFFSET_CONTROL),
            STATUS_MIGRATABLE | STATUS_ACCEPTED
        );
        // The fields may change afterwards without effect.
        r.write(OFFSET_REGION_LENGTH, &[0xff]);
        assert_eq!(r.announced(), Some(a));
        assert_eq!(r.write(OFFSET_CONTROL, &[0]), Some(Event::Retracted));
        assert_eq!(r.announced(), None);
    }

    #[test]
    fn announce_in_bytes_and_in_one_write() {
        let a = Announcement::new(0x4000, 0x1000).unwrap();
        let mut bytes = Registers::new();
        for (offset, value) in [(13, 0x10u8), (17, 0x40)] {
            assert_eq!(bytes.write(offset, &[value]), None);
        }
        assert_eq!(bytes.write(9, &[0xff, 0xff, 0xff]), None);
        assert_eq!(bytes.write(8, &[1]), Some(Event::Announced(a)));
        let mut once = Registers::new();
        let mut image = [0xffu8; LENGTH];
        image[8..].copy_from_slice(&[1, 0, 0, 0, 0, 0x10, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0]);
        assert_eq!(once.write(0, &image), Some(Event::Announced(a)));
        assert_eq!(once.byte(0), CAP_ID);
    }

    #[test]
    fn rejects_insane_regions() {
        for (address, length) in [
            (0x1001, 0x1000),
            (0x1000, 0),
            (0x1000, 0xfff),
            (0x1000, REGION_LENGTH_MAX + 1),
            (0u64.wrapping_sub(0x1000), 0x1000),
        ] {
            assert_eq!(
                Announcement::new(address, length),
                None,
                "{address:#x} {length:#x}"
            );
        }
        let mut r = Registers::new();
        assert_eq!(r.write(OFFSET_CONTROL, &[1]), Some(Event::Rejected));
        assert_eq!(r.announced(), None);
    }

    #[test]
    fn any_access_is_harmless() {
        let mut r = Registers::new();
        for offset in [0, 1, 7, 20, 23, 24, 255, usize::MAX - 1, usize::MAX] {
            for len in 0..9 {
                r.write(offset, &[0xa5; 9][..len]);
                r.byte(offset);
            }
        }
    }

    #[test]
    fn restored_registers_read_like_the_source() {
        let mut source = Registers::new();
        let mut image = [0u8; 16];
        image.copy_from_slice(&[1, 0, 0, 0, 0, 0x20, 0, 0, 0, 0x40, 0, 0, 7, 0, 0, 0]);
        source.write(OFFSET_CONTROL, &image);
        let mut target = Registers::new();
        target.restore(source.announced());
        assert_eq!(source, target);
    }

    /// QEMU's 82576 VF: PCIe at 0xa0, MSI-X at 0x70.
    fn vf() -> ([u8; CONFIG_SIZE], [bool; CONFIG_SIZE]) {
        let mut config = [0; CONFIG_SIZE];
        config[CONFIG_LIST] = 0xa0;
        config[0xa1] = 0x70;
        let mut free = [true; CONFIG_SIZE];
        free[0x70..0x7c].fill(false);
        free[0xa0..0xdc].fill(false);
        (config, free)
    }

    #[test]
    fn places_after_the_last_capability() {
        let (config, mut free) = vf();
        let at = |free: &[bool]| place(|o| config[usize::from(o)], |o| free[usize::from(o)]);
        assert_eq!(
            at(&free),
            Some(Placement {
                offset: 0xe0,
                link: 0x71
            })
        );
        free[0xf0] = false;
        assert_eq!(
            at(&free),
            Some(Placement {
                offset: 0x88,
                link: 0x71
            })
        );
        free.fill(false);
        assert_eq!(at(&free), None);
    }

    #[test]
    fn refuses_a_broken_chain() {
        let (mut config, free) = vf();
        config[0x71] = 0xa0;
        assert_eq!(
            place(|o| config[usize::from(o)], |o| free[usize::from(o)]),
            None
        );
        config[0x71] = 0x10;
        assert_eq!(
            place(|o| config[usize::from(o)], |o| free[usize::from(o)]),
            None
        );
    }
}
