// SPDX-License-Identifier: GPL-2.0

//! Advanced descriptors of the 82576 and the 82599 (Linux `igb/e1000_82575.h`, `ixgbevf/defines.h`).
//!
//! A descriptor is 16 bytes, here two native 64-bit words; in memory they are little-endian. Formats
//! are the same for both chips unless said otherwise.
//!
//! Glossary: DD = descriptor done; EOP = end of packet; TSO = TCP segmentation offload; "context" = a
//! transmit descriptor that carries parameters for the data descriptors after it.

/// A descriptor as two native words, low address first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Desc(pub [u64; 2]);

impl Desc {
    /// The words as they stand in memory.
    #[inline(always)]
    pub const fn to_le(self) -> [u64; 2] {
        [self.0[0].to_le(), self.0[1].to_le()]
    }

    /// From the words as they stand in memory.
    #[inline(always)]
    pub const fn from_le(words: [u64; 2]) -> Self {
        Self([u64::from_le(words[0]), u64::from_le(words[1])])
    }
}

/// Receive descriptors.
pub mod rx {
    use super::Desc;

    /// Descriptor done.
    pub const STAT_DD: u32 = 1 << 0;
    /// End of packet: the last buffer of a packet.
    pub const STAT_EOP: u32 = 1 << 1;
    /// VLAN tag stripped into the descriptor.
    pub const STAT_VP: u32 = 1 << 3;
    /// UDP checksum computed (82576).
    pub const STAT_UDPCS: u32 = 1 << 4;
    /// TCP or UDP checksum computed.
    pub const STAT_L4CS: u32 = 1 << 5;
    /// IPv4 header checksum computed.
    pub const STAT_IPCS: u32 = 1 << 6;
    /// A time stamp of the packet was taken (82576, physical functions).
    pub const STAT_TS: u32 = 1 << 16;
    /// Packet came from a function of the same port.
    pub const STAT_LB: u32 = 1 << 18;

    /// Error bits of the 82576.
    pub mod err82576 {
        /// CRC error.
        pub const CE: u32 = 1 << 24;
        /// Symbol error.
        pub const SE: u32 = 1 << 25;
        /// Sequence error.
        pub const SEQ: u32 = 1 << 26;
        /// Carrier extension error.
        pub const CXE: u32 = 1 << 28;
        /// TCP or UDP checksum wrong.
        pub const L4E: u32 = 1 << 29;
        /// IPv4 header checksum wrong.
        pub const IPE: u32 = 1 << 30;
        /// Data error.
        pub const RXE: u32 = 1 << 31;
        /// The frame must be dropped.
        pub const FRAME: u32 = CE | SE | SEQ | CXE | RXE;
    }

    /// Error bits of the 82599.
    pub mod err82599 {
        /// CRC error.
        pub const CE: u32 = 1 << 24;
        /// Length error.
        pub const LE: u32 = 1 << 25;
        /// Packet error.
        pub const PE: u32 = 1 << 27;
        /// Oversize.
        pub const OSE: u32 = 1 << 28;
        /// Undersize.
        pub const USE: u32 = 1 << 29;
        /// TCP or UDP checksum wrong.
        pub const L4E: u32 = 1 << 30;
        /// IPv4 header checksum wrong.
        pub const IPE: u32 = 1 << 31;
        /// The frame must be dropped.
        pub const FRAME: u32 = CE | LE | PE | OSE | USE;
    }

    /// The read format: an empty buffer for the hardware. The second word clears DD.
    #[inline(always)]
    pub const fn read(buffer_addr: u64) -> Desc {
        Desc([buffer_addr, 0])
    }

    /// The write-back format. Only the second word has to be loaded to see whether the descriptor is done.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct WriteBack {
        /// First word: packet type, header length, RSS hash.
        pub low: u64,
        /// Second word: status and errors, length, VLAN tag.
        pub high: u64,
    }

    impl WriteBack {
        /// From a descriptor.
        #[inline(always)]
        pub const fn new(desc: Desc) -> Self {
            Self {
                low: desc.0[0],
                high: desc.0[1],
            }
        }

        /// Status and error bits.
        #[inline(always)]
        pub const fn status_error(self) -> u32 {
            // CAST: the low half.
            self.high as u32
        }

        /// Whether the hardware is done with the descriptor.
        #[inline(always)]
        pub const fn done(self) -> bool {
            self.status_error() & STAT_DD != 0
        }

        /// Whether the packet ends in this buffer.
        #[inline(always)]
        pub const fn end_of_packet(self) -> bool {
            self.status_error() & STAT_EOP != 0
        }

        /// Bytes written to the buffer.
        #[inline(always)]
        pub const fn length(self) -> u16 {
            // CAST: bits 47:32.
            (self.high >> 32) as u16
        }

        /// VLAN tag (all 16 bits), when [`STAT_VP`] is set.
        #[inline(always)]
        pub const fn vlan(self) -> u16 {
            // CAST: bits 63:48.
            (self.high >> 48) as u16
        }

        /// What the RSS hash was computed over; 0 = none.
        #[inline(always)]
        pub const fn rss_type(self) -> u32 {
            // CAST: bits 3:0.
            (self.low & 0xf) as u32
        }

        /// Whether the RSS hash covers the ports as well.
        #[inline(always)]
        pub const fn rss_layer4(self) -> bool {
            RSS_LAYER4 >> self.rss_type() & 1 != 0
        }

        /// RSS hash, when [`rss_type`](Self::rss_type) is not 0.
        #[inline(always)]
        pub const fn rss_hash(self) -> u32 {
            // CAST: bits 63:32.
            (self.low >> 32) as u32
        }

        /// Packet type bits, see the `PTYPE_` constants.
        #[inline(always)]
        pub const fn packet_type(self) -> u32 {
            // CAST: bits 16:4.
            ((self.low >> 4) & 0x1fff) as u32
        }
    }

    /// RSS types that cover ports, one bit each: TCP and UDP over IPv4, over IPv6, and over IPv6 with extensions.
    const RSS_LAYER4: u32 = 1 << 1 | 1 << 3 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 9;

    /// Packet type: IPv4 header.
    pub const PTYPE_IPV4: u32 = 1 << 0;
    /// Packet type: IPv4 header with options.
    pub const PTYPE_IPV4_EX: u32 = 1 << 1;
    /// Packet type: IPv6 header.
    pub const PTYPE_IPV6: u32 = 1 << 2;
    /// Packet type: IPv6 header with extensions.
    pub const PTYPE_IPV6_EX: u32 = 1 << 3;
    /// Packet type: TCP.
    pub const PTYPE_TCP: u32 = 1 << 4;
    /// Packet type: UDP.
    pub const PTYPE_UDP: u32 = 1 << 5;
    /// Packet type: SCTP.
    pub const PTYPE_SCTP: u32 = 1 << 6;
}

/// Transmit descriptors.
pub mod tx {
    use super::Desc;

    /// Most bytes that one data descriptor carries by its 16-bit length; the hardware takes up to 2 to the power of 15 safely.
    pub const MAX_DATA: u32 = 1 << 15;

    const DTYP_CTXT: u32 = 2 << 20;
    const DTYP_DATA: u32 = 3 << 20;
    const DCMD_DEXT: u32 = 1 << 29;

    /// Take a time stamp when the packet is sent (82576, physical functions).
    pub const DCMD_TSTAMP: u32 = 1 << 19;
    /// Last descriptor of the packet.
    pub const DCMD_EOP: u32 = 1 << 24;
    /// Insert the frame check sequence.
    pub const DCMD_IFCS: u32 = 1 << 25;
    /// Report status: write DD back.
    pub const DCMD_RS: u32 = 1 << 27;
    /// Insert the VLAN tag of the context.
    pub const DCMD_VLE: u32 = 1 << 30;
    /// Segment TCP.
    pub const DCMD_TSE: u32 = 1 << 31;

    /// Data option: insert the IPv4 header checksum.
    pub const POPTS_IXSM: u32 = 1 << 8;
    /// Data option: insert the TCP, UDP or SCTP checksum.
    pub const POPTS_TXSM: u32 = 1 << 9;
    /// Data option: check the context (82599, needed with VLAN or offloads).
    pub const OLINFO_CC: u32 = 1 << 7;
    /// Position of the context index in the data options.
    pub const OLINFO_IDX_SHIFT: u32 = 4;

    const PAYLEN_SHIFT: u32 = 14;
    /// Descriptor done, in the write-back format.
    const STAT_DD: u32 = 1 << 0;

    /// Data descriptor for `len` bytes (at most [`MAX_DATA`]) at `addr`. `command` holds `DCMD_` bits;
    /// `olinfo` is made by [`olinfo`].
    #[inline(always)]
    pub const fn data(addr: u64, len: u32, command: u32, olinfo: u32) -> Desc {
        let cmd_type_len = DTYP_DATA | DCMD_DEXT | command | (len & 0xffff);
        Desc([addr, cmd_type_len as u64 | (olinfo as u64) << 32])
    }

    /// Data options for a packet: its payload length in bytes (with TSO without the headers, else the whole packet), and
    /// `POPTS_` and `OLINFO_` bits.
    #[inline(always)]
    pub const fn olinfo(payload_len: u32, options: u32) -> u32 {
        payload_len << PAYLEN_SHIFT | options
    }

    /// Whether the hardware has written a descriptor back.
    #[inline(always)]
    pub const fn done(desc: Desc) -> bool {
        // CAST: the status is the high half of the second word.
        (desc.0[1] >> 32) as u32 & STAT_DD != 0
    }

    /// A descriptor's second word with DD clear, for slots that hold nothing.
    pub const fn empty() -> Desc {
        Desc([0, 0])
    }

    /// Layer 4 protocol of a context.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub enum L4 {
        /// UDP.
        #[default]
        Udp,
        /// TCP.
        Tcp,
        /// SCTP.
        Sctp,
    }

    /// Parameters of a context descriptor.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Context {
        /// Length of the MAC header in bytes, without an inserted VLAN tag; below 128.
        pub mac_len: u32,
        /// Length of the IP header in bytes; below 512.
        pub ip_len: u32,
        /// VLAN tag to insert.
        pub vlan: u16,
        /// IPv4, not IPv6.
        pub ipv4: bool,
        /// Layer 4 protocol.
        pub l4: L4,
        /// Length of the layer 4 header in bytes (TSO).
        pub l4_len: u8,
        /// Segment size in bytes (TSO).
        pub mss: u16,
        /// Number of the context, 0 or 1.
        pub index: u32,
    }

    impl Context {
        /// The descriptor.
        #[inline]
        pub const fn desc(self) -> Desc {
            let vlan_macip_lens =
                (self.vlan as u32) << 16 | (self.mac_len & 0x7f) << 9 | (self.ip_len & 0x1ff);
            let l4 = match self.l4 {
                L4::Udp => 0,
                L4::Tcp => 1,
                L4::Sctp => 2,
            };
            let type_tucmd = DTYP_CTXT | DCMD_DEXT | l4 << 11 | (self.ipv4 as u32) << 10;
            let mss_l4len_idx =
                (self.mss as u32) << 16 | (self.l4_len as u32) << 8 | (self.index & 7) << 4;
            Desc([
                vlan_macip_lens as u64,
                type_tucmd as u64 | (mss_l4len_idx as u64) << 32,
            ])
        }
    }

    /// A descriptor that software wrote, for another device: nobody waits for the packet's time stamp any more.
    #[must_use]
    pub const fn unstamped(desc: Desc) -> Desc {
        if is_context(desc) {
            return desc;
        }
        Desc([desc.0[0], desc.0[1] & !(DCMD_TSTAMP as u64)])
    }

    /// Whether a descriptor that software wrote is a context descriptor.
    pub const fn is_context(desc: Desc) -> bool {
        // CAST: command and type are the low half of the second word.
        desc.0[1] as u32 & (DCMD_DEXT | 0xf << 20) == DCMD_DEXT | DTYP_CTXT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receive() {
        // 60 bytes, VLAN 5, TCP over IPv4, checksums good, RSS type 1.
        let desc = Desc([
            0xdead_beef_0000_0000 | (u64::from(rx::PTYPE_IPV4 | rx::PTYPE_TCP)) << 4 | 1,
            5 << 48 | 60 << 32 | 0x6b,
        ]);
        let wb = rx::WriteBack::new(desc);
        assert!(wb.done() && wb.end_of_packet());
        assert_eq!((wb.length(), wb.vlan()), (60, 5));
        assert_eq!((wb.rss_type(), wb.rss_hash()), (1, 0xdead_beef));
        assert_eq!(wb.packet_type(), 0x11);
        let layer4: Vec<u64> = (0..16)
            .filter(|kind| rx::WriteBack::new(Desc([*kind, 0])).rss_layer4())
            .collect();
        assert_eq!(layer4, [1, 3, 6, 7, 8, 9]);
        assert_eq!(
            wb.status_error(),
            rx::STAT_DD | rx::STAT_EOP | rx::STAT_VP | rx::STAT_L4CS | rx::STAT_IPCS
        );
        assert_eq!(
            wb.status_error() & (rx::err82576::FRAME | rx::err82599::FRAME),
            0
        );
        // A buffer that was posted again is not done.
        assert!(!rx::WriteBack::new(rx::read(u64::MAX)).done());
        assert_eq!(rx::err82576::FRAME, 0x9700_0000);
        assert_eq!(rx::err82599::FRAME, 0x3b00_0000);
    }

    #[test]
    fn transmit_data() {
        // As the Linux drivers build it: data, extension, EOP, IFCS and RS are 0x2b300000.
        let command = tx::DCMD_EOP | tx::DCMD_IFCS | tx::DCMD_RS;
        let desc = tx::data(
            0x1234_5678_9abc,
            1514,
            command,
            tx::olinfo(1514, tx::POPTS_TXSM),
        );
        assert_eq!(desc.0[0], 0x1234_5678_9abc);
        assert_eq!(desc.0[1] as u32, 0x2b30_0000 | 1514);
        assert_eq!((desc.0[1] >> 32) as u32, 1514 << 14 | 0x200);
        assert!(!tx::is_context(desc) && !tx::done(desc));
        assert!(tx::done(Desc([0, 1 << 32])) && !tx::done(tx::empty()));
        let stamped = tx::data(
            0x1234_5678_9abc,
            1514,
            command | tx::DCMD_TSTAMP,
            tx::olinfo(1514, tx::POPTS_TXSM),
        );
        assert_eq!(stamped.0[1] as u32, 0x2b38_0000 | 1514);
        assert_eq!(tx::unstamped(stamped), desc);
        assert_eq!(tx::unstamped(desc), desc);
    }

    #[test]
    fn transmit_context() {
        let desc = tx::Context {
            mac_len: 14,
            ip_len: 20,
            vlan: 0x2005,
            ipv4: true,
            l4: tx::L4::Tcp,
            l4_len: 20,
            mss: 1448,
            index: 1,
        }
        .desc();
        assert_eq!(desc.0[0], 0x2005_1c14);
        assert_eq!(desc.0[1] as u32, 0x2020_0c00);
        assert_eq!((desc.0[1] >> 32) as u32, 1448 << 16 | 20 << 8 | 1 << 4);
        assert!(tx::is_context(desc));
        // Whatever that bit is in a context, it is no time stamp.
        let odd = Desc([desc.0[0], desc.0[1] | u64::from(tx::DCMD_TSTAMP)]);
        assert_eq!(tx::unstamped(odd), odd);
    }

    #[test]
    fn endianness() {
        let desc = Desc([1, 2]);
        assert_eq!(Desc::from_le(desc.to_le()), desc);
        assert_eq!(desc.to_le()[0].to_ne_bytes(), [1, 0, 0, 0, 0, 0, 0, 0]);
    }
}
