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
use compsc_core::registers;

/// Queue pairs of a function.
pub const QUEUES: usize = 2;
/// MSI-X vectors of a function.
pub const VECTORS: usize = 3;
/// All causes: one bit per vector.
pub const ALL_CAUSES: u32 = (1 << VECTORS) - 1;

registers! {
    /// Register map of an 82576 virtual function.
    pub map Vf82576 { chip: chip::I82576, role: role::VF, size: 0x4000 }

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

    // Receive and transmit rings.

    /// Packet split receive type.
    PSRTYPE @ 0x0F0C: Rw, LastWrite(Setup) {}
    /// Split and replication receive control.
    SRRCTL[2; 0x100] @ 0x280C: Rw, LastWrite(Rings) {
        /// Size of a packet buffer in KiB.
        BSIZEPACKET: 0..=6,
        /// Size of a header buffer in units of 64 bytes.
        BSIZEHEADER: 8..=11,
        /// Descriptor threshold of the low-descriptors interrupt, in units of 16 descriptors.
        RDMTS: 20..=24,
        /// Descriptor type: 1 = advanced, one buffer; 5 = advanced, header split always.
        DESCTYPE: 25..=27,
        /// Drop packets when the ring has no descriptors, instead of blocking the other queues.
        DROP_EN: 31,
    }
    /// Receive ring address, low half; aligned to 128 bytes.
    RDBAL[2; 0x100] @ 0x2800: Rw, LastWrite(Rings) {}
    /// Receive ring address, high half.
    RDBAH[2; 0x100] @ 0x2804: Rw, LastWrite(Rings) {}
    /// Receive ring length in bytes; a multiple of 128.
    RDLEN[2; 0x100] @ 0x2808: Rw, LastWrite(Rings) {}
    /// Receive ring head: next slot that the hardware fills.
    RDH[2; 0x100] @ 0x2810: Ro, Head {}
    /// Direct cache access and ordering of receive DMA.
    DCA_RXCTRL[2; 0x100] @ 0x2814: Rw, LastWrite(Rings) {
        /// DCA of descriptor write-back.
        DESC_DCA_EN: 5,
        /// DCA of header writes.
        HEAD_DCA_EN: 6,
        /// DCA of payload writes.
        DATA_DCA_EN: 7,
        /// Relaxed ordering of descriptor reads.
        DESC_RRO_EN: 9,
        /// CPU to which DCA is directed.
        CPUID: 24..=31,
    }
    /// Receive ring tail: first slot that the hardware must not use.
    RDT[2; 0x100] @ 0x2818: Rw, Tail {}
    /// Packets dropped because the ring had no descriptors.
    RQDPC[2; 0x100] @ 0x2830: Rc, SelfEmulate {32 bits} {}
    /// Transmit ring address, low half; aligned to 128 bytes.
    TDBAL[2; 0x100] @ 0x3800: Rw, LastWrite(Rings) {}
    /// Transmit ring address, high half.
    TDBAH[2; 0x100] @ 0x3804: Rw, LastWrite(Rings) {}
    /// Transmit ring length in bytes; a multiple of 128.
    TDLEN[2; 0x100] @ 0x3808: Rw, LastWrite(Rings) {}
    /// Transmit ring head: next slot that the hardware reads.
    TDH[2; 0x100] @ 0x3810: Ro, Head {}
    /// Direct cache access and ordering of transmit DMA.
    DCA_TXCTRL[2; 0x100] @ 0x3814: Rw, LastWrite(Rings) {
        /// DCA of descriptor write-back.
        DESC_DCA_EN: 5,
        /// Relaxed ordering of descriptor reads.
        DESC_RRO_EN: 9,
        /// Relaxed ordering of write-back; must be off when the head is written back.
        TX_WB_RO_EN: 11,
        /// Relaxed ordering of data reads.
        DATA_RRO_EN: 13,
        /// CPU to which DCA is directed.
        CPUID: 24..=31,
    }
    /// Transmit ring tail: first slot that the hardware must not use.
    TDT[2; 0x100] @ 0x3818: Rw, Tail {}
    /// Address to which the transmit head is written back, low half.
    TDWBAL[2; 0x100] @ 0x3838: Rw, LastWrite(Rings) {
        /// Write the head back instead of the descriptors' done bits.
        HEAD_WB_EN: 0,
    }
    /// Address to which the transmit head is written back, high half.
    TDWBAH[2; 0x100] @ 0x383C: Rw, LastWrite(Rings) {}
    /// Transmit descriptor control.
    TXDCTL[2; 0x100] @ 0x3828: Rw, LastWrite(Enable) {
        /// Prefetch when fewer descriptors than this are on the chip.
        PTHRESH: 0..=4,
        /// Prefetch only if at least this many are in host memory.
        HTHRESH: 8..=12,
        /// Write back when this many are done.
        WTHRESH: 16..=20,
        /// Queue enable. Reads 1 when the queue runs.
        ENABLE: 25,
        /// Writes back everything done.
        SWFLSH: 26,
    }
    /// Receive descriptor control.
    RXDCTL[2; 0x100] @ 0x2828: Rw, LastWrite(Enable) {
        /// Prefetch when fewer descriptors than this are on the chip.
        PTHRESH: 0..=4,
        /// Prefetch only if at least this many are in host memory.
        HTHRESH: 8..=12,
        /// Write back when this many are done.
        WTHRESH: 16..=20,
        /// Queue enable. Reads 1 when the queue runs.
        ENABLE: 25,
        /// Writes back everything done.
        SWFLSH: 26,
    }

    // Interrupts.

    /// Interrupt throttling, per vector.
    EITR[3; 4] @ 0x1680: Rw, LastWrite(Interrupts) {
        /// Shortest time between two interrupts in microseconds.
        INTERVAL: 2..=14,
        /// Leave the running interval alone in this write.
        CNT_IGNR: 31,
    }
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
    /// Vectors whose cause clears itself when the message is sent.
    EIAC @ 0x152C: Rw, LastWrite(Interrupts) {
        /// One bit per vector.
        VECTORS: 0..=2,
    }
    /// Vectors whose mask bit clears itself when the message is sent.
    EIAM @ 0x1530: Rw, LastWrite(Interrupts) {
        /// One bit per vector.
        VECTORS: 0..=2,
    }
    /// MSI-X pending bits; writing 1 clears.
    PBACL @ 0x0F04: Rw1c, Ignore {
        /// One bit per vector.
        PENBIT: 0..=2,
    }
    /// Interrupt causes; cleared by a read, or by writing 1.
    EICR @ 0x1580: Rw1c, Ignore {
        /// One bit per vector.
        VECTORS: 0..=2,
    }
    /// Sets interrupt causes.
    EICS @ 0x1520: Wo, Kick {
        /// One bit per vector.
        VECTORS: 0..=2,
    }
    /// Masks vectors: writing 1 disables.
    EIMC @ 0x1528: Wo, Ignore {
        /// One bit per vector.
        VECTORS: 0..=2,
    }
    /// Unmasks vectors: writing 1 enables; cleared through EIMC and by EIAM.
    EIMS @ 0x1524: Rws, LastWrite(Unmask) {
        /// One bit per vector.
        VECTORS: 0..=2,
    }

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

impl SRRCTL {
    /// [`SRRCTL::DESCTYPE`]: advanced descriptors, one buffer.
    pub const DESCTYPE_ADV_ONEBUF: u32 = 1;
    /// [`SRRCTL::DESCTYPE`]: advanced descriptors, header always split off.
    pub const DESCTYPE_HDR_SPLIT_ALWAYS: u32 = 5;

    /// The packet buffer size for buffers of `bytes` bytes, a multiple of 1024.
    #[must_use]
    pub const fn with_buffer_bytes(self, bytes: u32) -> Self {
        self.with(Self::BSIZEPACKET, bytes / 1024)
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

impl EITR {
    /// The shortest interval of at least `microseconds`, up to the largest that the register holds.
    pub const fn from_interval(microseconds: u32) -> Self {
        let max = Self::INTERVAL.max();
        let interval = if microseconds > max {
            max
        } else {
            microseconds
        };
        Self::zeroed().with(Self::INTERVAL, interval)
    }
}
