// SPDX-License-Identifier: GPL-2.0

//! Model of the Intel 82599 10 Gigabit Ethernet controller: one port's physical function (PF, 8086:10fb)
//! and its virtual functions (VF, 8086:10ed), as software sees them through their registers, descriptor rings
//! and interrupts.
//!
//! Pure Rust without unsafe code. What surrounds the device (guest memory, interrupt lines, the
//! network, the clock) is behind [`Host`], so that an emulator and a test drive the very same code. The rules come
//! from the facts in the public 82599 datasheet and from what the Linux drivers ixgbe and
//! ixgbevf require; Documentation/82599-model.rst names the source of each.
//!
//! | module | hardware unit |
//! |---|---|
//! | [`device`] | the whole: entry points and register dispatch |
//! | [`regs`] | register map: offset, class and implemented bits of every register |
//! | [`mac`] | MAC, link, semaphores, MDIO |
//! | [`eeprom`] | EEPROM and its contents |
//! | [`sfp`] | I2C bus to the SFP+ module |
//! | [`irq`] | causes, masks, moderation, MSI-X vectors |
//! | [`mailbox`] | mailboxes between PF and VFs |
//! | [`reset`] | what each kind of reset clears |
//! | [`ring`] | registers that receive and transmit queues have in common |
//! | [`rx`], [`tx`] | queues, descriptors |
//! | [`switch`] | filters, pools, loopback between functions, anti-spoofing |
//! | `rsc` | receive side coalescing |
//! | [`rss`] | choice of a receive queue |
//! | [`fdir`] | flow director |
//! | `tuple` | SYN and 5-tuple filters |
//! | [`packet`] | headers and checksums |
//! | [`stats`] | statistics |
//! | [`ptp`] | IEEE 1588 clock and time stamps |
//! | [`vf`] | register window of a VF |
//!
//! No call allocates memory except [`Device::new`], and every loop is bounded by a constant or by
//! the length of a ring.

#![forbid(unsafe_code)]

pub mod device;
pub mod eeprom;
pub mod fdir;
pub mod irq;
pub mod mac;
pub mod mailbox;
pub mod packet;
pub mod ptp;
pub mod regs;
pub mod reset;
pub mod ring;
mod rsc;
pub mod rss;
pub mod rx;
pub mod sfp;
pub mod stats;
pub mod switch;
mod tuple;
pub mod tx;
pub mod vf;

pub use device::Config;
pub use device::Device;
pub use device::Function;
pub use device::Host;
pub use device::Problem;
pub use device::Receive;
pub use device::Violation;

/// Number of receive and of transmit queues (datasheet 1.3).
pub const QUEUES: usize = 128;

/// Number of pools, and so the largest number of VFs (datasheet 7.10).
pub const POOLS: usize = 64;

/// MSI-X vectors of the PF (datasheet 7.3.1.3).
pub const PF_VECTORS: usize = 64;

/// MSI-X vectors of a VF (datasheet 7.3.1.3).
pub const VF_VECTORS: usize = 3;

/// Bytes of register space of the PF (BAR 0).
pub const PF_SPACE: u32 = 0x2_0000;

/// Bytes of register space of a VF (BAR 0).
pub const VF_SPACE: u32 = 0x4000;

/// Longest frame in bytes, without the frame check sequence, that the model carries: 9.5 KB and two VLAN tags.
pub const MAX_FRAME: usize = 15_872;
