// SPDX-License-Identifier: GPL-2.0

//! What the functions of an 82576 have in common. A virtual function has the same rings and the same extended
//! interrupts as the physical one, at places of its own and fewer of them: they are declared here once.

use compsc_core::{
    class::{
        Readable,
        Writable, //
    },
    regs::{
        Map,
        Register, //
    },
};

/// A function of an 82576: its ring and interrupt registers by name, for code that serves both functions. The
/// bit fields are the same in all maps.
pub trait Function: Map {
    /// Split and replication receive control.
    type Srrctl: Register<Map = Self> + Readable + Writable;
    /// Receive ring address, low half.
    type Rdbal: Register<Map = Self> + Readable + Writable;
    /// Receive ring address, high half.
    type Rdbah: Register<Map = Self> + Readable + Writable;
    /// Receive ring length.
    type Rdlen: Register<Map = Self> + Readable + Writable;
    /// Receive ring head.
    type Rdh: Register<Map = Self> + Readable;
    /// Receive ring tail.
    type Rdt: Register<Map = Self> + Readable + Writable;
    /// Receive descriptor control.
    type Rxdctl: Register<Map = Self> + Readable + Writable;
    /// Transmit ring address, low half.
    type Tdbal: Register<Map = Self> + Readable + Writable;
    /// Transmit ring address, high half.
    type Tdbah: Register<Map = Self> + Readable + Writable;
    /// Transmit ring length.
    type Tdlen: Register<Map = Self> + Readable + Writable;
    /// Transmit ring head.
    type Tdh: Register<Map = Self> + Readable;
    /// Transmit ring tail.
    type Tdt: Register<Map = Self> + Readable + Writable;
    /// Transmit descriptor control.
    type Txdctl: Register<Map = Self> + Readable + Writable;
    /// Ordering of transmit DMA.
    type DcaTxctrl: Register<Map = Self> + Readable + Writable;
    /// Transmit head write-back, low half.
    type Tdwbal: Register<Map = Self> + Readable + Writable;
    /// Transmit head write-back, high half.
    type Tdwbah: Register<Map = Self> + Readable + Writable;
    /// Interrupt throttling.
    type Eitr: Register<Map = Self> + Readable + Writable;
    /// Causes that clear themselves.
    type Eiac: Register<Map = Self> + Readable + Writable;
    /// Vectors that mask themselves.
    type Eiam: Register<Map = Self> + Readable + Writable;
    /// Interrupt causes.
    type Eicr: Register<Map = Self> + Readable + Writable;
    /// Sets interrupt causes.
    type Eics: Register<Map = Self> + Writable;
    /// Masks vectors.
    type Eimc: Register<Map = Self> + Writable;
    /// Unmasks vectors.
    type Eims: Register<Map = Self> + Readable + Writable;
}

/// Declares the map of a function. Rings: how many, bytes between two, and where the first receive and the first
/// transmit ring begin. Vectors: how many, the number of the last, and where their pending bits are cleared. The
/// blocks hold what the function has to itself, in the order of replay.
macro_rules! map_82576 {
    (
        $(#[$attr:meta])*
        map $map:ident { $($head:tt)* }
        rings [$rings:literal; $step:literal], rx $rx:literal, tx $tx:literal
        vectors [$vectors:literal], last $last:literal, pbacl $pbacl:literal
        general { $($general:tt)* }
        routing { $($routing:tt)* }
        own { $($own:tt)* }
    ) => {
        compsc_core::registers! {
            $(#[$attr])*
            pub map $map { $($head)* }

            $($general)*

            /// Split and replication receive control.
            SRRCTL[$rings; $step] @ ($rx + 0x0C): Rw, LastWrite(Rings) {
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
            RDBAL[$rings; $step] @ ($rx + 0x00): Rw, LastWrite(Rings) {}
            /// Receive ring address, high half.
            RDBAH[$rings; $step] @ ($rx + 0x04): Rw, LastWrite(Rings) {}
            /// Receive ring length in bytes; a multiple of 128.
            RDLEN[$rings; $step] @ ($rx + 0x08): Rw, LastWrite(Rings) {}
            /// Receive ring head: next slot that the hardware fills.
            RDH[$rings; $step] @ ($rx + 0x10): Ro, Head {}
            /// Direct cache access and ordering of receive DMA.
            DCA_RXCTRL[$rings; $step] @ ($rx + 0x14): Rw, LastWrite(Rings) {
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
            RDT[$rings; $step] @ ($rx + 0x18): Rw, Tail {}
            /// Packets dropped because the ring had no descriptors.
            RQDPC[$rings; $step] @ ($rx + 0x30): Rc, SelfEmulate {32 bits} {}
            /// Transmit ring address, low half; aligned to 128 bytes.
            TDBAL[$rings; $step] @ ($tx + 0x00): Rw, LastWrite(Rings) {}
            /// Transmit ring address, high half.
            TDBAH[$rings; $step] @ ($tx + 0x04): Rw, LastWrite(Rings) {}
            /// Transmit ring length in bytes; a multiple of 128.
            TDLEN[$rings; $step] @ ($tx + 0x08): Rw, LastWrite(Rings) {}
            /// Transmit ring head: next slot that the hardware reads.
            TDH[$rings; $step] @ ($tx + 0x10): Ro, Head {}
            /// Direct cache access and ordering of transmit DMA.
            DCA_TXCTRL[$rings; $step] @ ($tx + 0x14): Rw, LastWrite(Rings) {
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
            TDT[$rings; $step] @ ($tx + 0x18): Rw, Tail {}
            /// Address to which the transmit head is written back, low half.
            TDWBAL[$rings; $step] @ ($tx + 0x38): Rw, LastWrite(Rings) {
                /// Write the head back instead of the descriptors' done bits.
                HEAD_WB_EN: 0,
            }
            /// Address to which the transmit head is written back, high half.
            TDWBAH[$rings; $step] @ ($tx + 0x3C): Rw, LastWrite(Rings) {}
            /// Transmit descriptor control.
            TXDCTL[$rings; $step] @ ($tx + 0x28): Rw, LastWrite(Enable) {
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
            RXDCTL[$rings; $step] @ ($rx + 0x28): Rw, LastWrite(Enable) {
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

            /// Interrupt throttling, per vector.
            EITR[$vectors; 4] @ 0x1680: Rw, LastWrite(Interrupts) {
                /// Shortest time between two interrupts in microseconds.
                INTERVAL: 2..=14,
                /// Leave the running interval alone in this write.
                CNT_IGNR: 31,
            }
            $($routing)*

            /// Vectors whose cause clears itself when the message is sent.
            EIAC @ 0x152C: Rw, LastWrite(Interrupts) {
                /// One bit per vector.
                VECTORS: 0..=$last,
            }
            /// Vectors whose mask bit clears itself when the message is sent.
            EIAM @ 0x1530: Rw, LastWrite(Interrupts) {
                /// One bit per vector.
                VECTORS: 0..=$last,
            }
            /// MSI-X pending bits; writing 1 clears.
            PBACL @ $pbacl: Rw1c, Ignore {
                /// One bit per vector.
                PENBIT: 0..=$last,
            }
            /// Interrupt causes; cleared by a read, or by writing 1.
            EICR @ 0x1580: Rw1c, Ignore {
                /// One bit per vector.
                VECTORS: 0..=$last,
            }
            /// Sets interrupt causes.
            EICS @ 0x1520: Wo, Kick {
                /// One bit per vector.
                VECTORS: 0..=$last,
            }
            /// Masks vectors: writing 1 disables.
            EIMC @ 0x1528: Wo, Ignore {
                /// One bit per vector.
                VECTORS: 0..=$last,
            }
            /// Unmasks vectors: writing 1 enables; cleared through EIMC and by EIAM.
            EIMS @ 0x1524: Rws, LastWrite(Unmask) {
                /// One bit per vector.
                VECTORS: 0..=$last,
            }

            $($own)*
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

        impl $crate::i82576::Function for $map {
            type Srrctl = SRRCTL;
            type Rdbal = RDBAL;
            type Rdbah = RDBAH;
            type Rdlen = RDLEN;
            type Rdh = RDH;
            type Rdt = RDT;
            type Rxdctl = RXDCTL;
            type Tdbal = TDBAL;
            type Tdbah = TDBAH;
            type Tdlen = TDLEN;
            type Tdh = TDH;
            type Tdt = TDT;
            type Txdctl = TXDCTL;
            type DcaTxctrl = DCA_TXCTRL;
            type Tdwbal = TDWBAL;
            type Tdwbah = TDWBAH;
            type Eitr = EITR;
            type Eiac = EIAC;
            type Eiam = EIAM;
            type Eicr = EICR;
            type Eics = EICS;
            type Eimc = EIMC;
            type Eims = EIMS;
        }
    };
}
