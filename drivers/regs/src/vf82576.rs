// SPDX-License-Identifier: GPL-2.0

//! Registers of an 82576 virtual function (BAR0, 16 KiB; Linux `igbvf/regs.h`, `igbvf/defines.h`,
//! `igbvf/mbx.h`, `igb/e1000_82575.h`; 82576 datasheet, chapter on virtual function registers).
//!
//! Registers stand in the order in which they are replayed within a phase.
//!
//! Glossary: RD/TD = receive/transmit descriptor ring; BAL/BAH = base address low/high; LEN = length in bytes;
//! H/T = head/tail; EI… = extended interrupt (one bit per MSI-X vector of the function); IVAR = interrupt
//! vector allocation; GPRC = good packets received, GPTC transmitted, GORC/GOTC octets, MPRC multicast,
//! LBC = loopback (between functions of the port).

use crate::chip;
use compsc_core::region::role;

/// Queue pairs of a function.
pub const QUEUES: usize = 2;
/// MSI-X vectors of a function.
pub const VECTORS: usize = 3;
/// All causes: one bit per vector.
pub const ALL_CAUSES: u32 = (1 << VECTORS) - 1;

map_82576! {
    /// Register map of an 82576 virtual function.
    map Vf82576 { chip: chip::I82576, role: role::VF, size: 0x4000 }
    rings [2; 0x100], rx 0x2800, tx 0x3800
    vectors [3], last 2, pbacl 0x0F04
    general {
        // General.

        /// Device control.
        CTRL @ 0x0000: Rws, OpSet {
            /// Function reset: queues, interrupts and mailbox of this function. Clears itself.
            RST: 26,
        }
        /// Device status, a mirror of the physical function's. A read flushes posted writes.
        STATUS @ 0x0008: Ro, Ignore {
            /// Full duplex.
            FD: 0,
            /// Link up.
            LU: 1,
            /// Transmission paused by flow control.
            TXOFF: 4,
            /// Speed: 0 = 10 Mb/s, 1 = 100 Mb/s, 2 and 3 = 1000 Mb/s.
            SPEED: 6..=7,
        }
        /// Free-running timer.
        FRTIMER @ 0x0048: Ro, Ignore {}

        // Mailbox to the physical function.

        /// Mailbox memory: a message of up to 16 words.
        VMBMEM[16; 4] @ 0x0800: Rw, Mailbox {}
        /// Mailbox control. PFSTS, PFACK and RSTD are cleared by a read: whoever reads keeps them (see [`crate::mailbox::READ_CLEAR`]).
        V2PMAILBOX @ 0x0C40: Rw, Mailbox {
            /// A message is in the mailbox memory; raises an interrupt at the physical function.
            REQ: 0,
            /// The message of the physical function was read.
            ACK: 1,
            /// This function owns the mailbox memory.
            VFU: 2,
            /// The physical function owns the mailbox memory.
            PFU: 3,
            /// The physical function wrote a message.
            PFSTS: 4,
            /// The physical function read our message.
            PFACK: 5,
            /// A reset of the device is going on.
            RSTI: 6,
            /// The reset of the device is done.
            RSTD: 7,
        }

        /// Packet split receive type.
        PSRTYPE @ 0x0F0C: Rw, LastWrite(Setup) {}
    }
    routing {
        /// Vectors of the queues. An entry counts only while its valid bit is set.
        IVAR0 @ 0x1700: Rw, LastWrite(Interrupts) {
            /// Vector of receive queue 0.
            RX0: 0..=1,
            /// Receive queue 0 has a vector.
            RX0_VALID: 7,
            /// Vector of transmit queue 0.
            TX0: 8..=9,
            /// Transmit queue 0 has a vector.
            TX0_VALID: 15,
            /// Vector of receive queue 1.
            RX1: 16..=17,
            /// Receive queue 1 has a vector.
            RX1_VALID: 23,
            /// Vector of transmit queue 1.
            TX1: 24..=25,
            /// Transmit queue 1 has a vector.
            TX1_VALID: 31,
        }
        /// Vector of the mailbox.
        IVAR_MISC @ 0x1740: Rw, LastWrite(Interrupts) {
            /// Vector.
            VECTOR: 0..=1,
            /// The mailbox has a vector.
            VALID: 7,
        }
    }
    own {
        // Statistics: free running, not cleared by a read.

        /// Good packets received.
        VFGPRC @ 0x0F10: Ro, SelfEmulate {32 bits} {}
        /// Good packets transmitted.
        VFGPTC @ 0x0F14: Ro, SelfEmulate {32 bits} {}
        /// Good octets received; wraps within 34 s at 1 Gb/s.
        VFGORC @ 0x0F18: Ro, SelfEmulate {32 bits} {}
        /// Good octets transmitted.
        VFGOTC @ 0x0F34: Ro, SelfEmulate {32 bits} {}
        /// Multicast packets received.
        VFMPRC @ 0x0F3C: Ro, SelfEmulate {32 bits} {}
        /// Good packets received from functions of the same port.
        VFGPRLBC @ 0x0F40: Ro, SelfEmulate {32 bits} {}
        /// Good packets transmitted to functions of the same port.
        VFGPTLBC @ 0x0F44: Ro, SelfEmulate {32 bits} {}
        /// Good octets received from functions of the same port.
        VFGORLBC @ 0x0F48: Ro, SelfEmulate {32 bits} {}
        /// Good octets transmitted to functions of the same port.
        VFGOTLBC @ 0x0F50: Ro, SelfEmulate {32 bits} {}
    }
}

impl STATUS {
    /// Link speed in Mb/s. Meaningful while [`STATUS::LU`] is set.
    pub const fn speed_mbps(self) -> u32 {
        match self.get(Self::SPEED) {
            0 => 10,
            1 => 100,
            _ => 1000,
        }
    }
}

impl IVAR0 {
    /// The value with receive queue `queue` (0 or 1) on a vector.
    #[must_use]
    pub const fn with_rx(self, queue: usize, vector: u32) -> Self {
        match queue {
            0 => self.with(Self::RX0, vector).set(Self::RX0_VALID),
            _ => self.with(Self::RX1, vector).set(Self::RX1_VALID),
        }
    }

    /// The value with transmit queue `queue` (0 or 1) on a vector.
    #[must_use]
    pub const fn with_tx(self, queue: usize, vector: u32) -> Self {
        match queue {
            0 => self.with(Self::TX0, vector).set(Self::TX0_VALID),
            _ => self.with(Self::TX1, vector).set(Self::TX1_VALID),
        }
    }
}
