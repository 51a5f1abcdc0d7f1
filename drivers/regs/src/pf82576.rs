// SPDX-License-Identifier: GPL-2.0

//! Registers of an 82576 physical function (BAR0, 128 KiB; Linux `igb/e1000_regs.h`, `igb/e1000_defines.h`,
//! `igb/e1000_82575.h`; 82576 datasheet, chapter on programming interface).
//!
//! Registers stand in the order in which they are replayed within a phase. What a register selects by another
//! one (transmit rates) or passes on (MDIC, EERD) is state of the driver, which writes it again.
//!
//! Glossary: RA = receive address (MAC filter), L/H low and high half; MTA/UTA = multicast/unicast table array (by
//! hash); VFTA = VLAN filter table array; VLVF = VLAN of virtual functions; VMOLR = offloads of a pool; VMVIR = VLAN
//! inserted for a pool; MRQC = multiple receive queues command; RETA = redirection table; RSSRK = RSS key; FC = flow
//! control; VFRE/VFTE = virtual function receive/transmit enable; VFLRE = VF level reset events; MBVFICR/MBVFIMR =
//! mailbox interrupt causes and mask; a pool is what the switch calls a function: two queues, n and n + 8.

use crate::chip;
use compsc_core::region::role;

/// Queues of the device.
pub const QUEUES: usize = 16;
/// MSI-X vectors of the function's table.
pub const VECTORS: usize = 10;
/// Pools, and queues from a pool's first to its second.
pub const POOLS: usize = 8;
/// Entries of the MAC filter.
pub const RECEIVE_ADDRESSES: usize = 24;
/// Entries of the VLAN filter of pools.
pub const POOL_VLANS: usize = 32;
/// Entries of the redirection table.
pub const RETA_ENTRIES: usize = 128;
/// Bytes of the RSS key.
pub const RSS_KEY_BYTES: usize = 40;

map_82576! {
    /// Register map of an 82576 physical function.
    map Pf82576 { chip: chip::I82576, role: role::PF, size: 0x20000 }
    rings [16; 0x40], rx 0xC000, tx 0xE000
    vectors [10], last 9, pbacl 0x5B68
    general {
        // General.

        /// Device control. A write with RST resets the device and has to be made through a reset.
        CTRL @ 0x0000: Rw, LastWrite(Setup) {
            /// Full duplex, when forced.
            FD: 0,
            /// Makes no further requests on the bus; STATUS tells when the last one is done.
            GIO_MASTER_DISABLE: 2,
            /// Link reset.
            LRST: 3,
            /// Set link up: the MAC follows the PHY.
            SLU: 6,
            /// Speed, when forced.
            SPD_SEL: 8..=9,
            /// Forces the speed.
            FRCSPD: 11,
            /// Forces the duplex mode.
            FRCDPX: 12,
            /// Wakes the machine from the state without power as well.
            ADVD3WUC: 20,
            /// Resets the device. Clears itself.
            RST: 26,
            /// Receive flow control: received pause frames are obeyed.
            RFCE: 27,
            /// Transmit flow control: pause frames are sent.
            TFCE: 28,
            /// Strips VLAN tags, without pools.
            VME: 30,
            /// Resets the PHY.
            PHY_RST: 31,
        }
        /// Device status. A read flushes posted writes.
        STATUS @ 0x0008: Ro, Ignore {
            /// Full duplex.
            FD: 0,
            /// Link up.
            LU: 1,
            /// Number of the port.
            LAN_ID: 2..=3,
            /// Transmission paused by flow control.
            TXOFF: 4,
            /// Speed: 0 = 10 Mb/s, 1 = 100 Mb/s, 2 and 3 = 1000 Mb/s.
            SPEED: 6..=7,
            /// Virtual functions that are enabled.
            NUM_VFS: 14..=17,
            /// Virtual functions are enabled.
            IOV_MODE: 18,
            /// Requests on the bus are allowed or under way.
            GIO_MASTER_ENABLE: 19,
        }
        /// Extended device control.
        CTRL_EXT @ 0x0018: Rw, LastWrite(Setup) {
            /// The reset of the physical function is done: virtual functions are told.
            PFRSTD: 14,
            /// Kind of link; 0 = internal copper PHY.
            LINK_MODE: 22..=23,
            /// A driver is loaded, so firmware leaves the device alone.
            DRV_LOAD: 28,
        }
        /// EEPROM control.
        EECD @ 0x0010: Rw, Ignore {
            /// An EEPROM is present.
            PRES: 8,
            /// What the EEPROM holds was read after a reset.
            AUTO_RD: 9,
            /// Size: 2 to the power of this and 6 more words.
            SIZE: 11..=14,
        }
        /// EEPROM read.
        EERD @ 0x0014: Rw, Ignore {
            /// Starts a read.
            START: 0,
            /// The read is done.
            DONE: 1,
            /// Word to read.
            ADDR: 2..=15,
            /// The word.
            DATA: 16..=31,
        }
        /// Access to the PHY's registers.
        MDIC @ 0x0020: Rw, Ignore {
            /// Value.
            DATA: 0..=15,
            /// Register.
            REGADD: 16..=20,
            /// Address of the PHY.
            PHYADD: 21..=25,
            /// Operation: 1 = write, 2 = read.
            OP: 26..=27,
            /// The operation is done.
            READY: 28,
            /// The operation failed.
            ERROR: 30,
        }
        /// Software semaphore. A read takes it, so no dump may read it.
        SWSM @ 0x5B50: Rw, Mailbox {
            /// Taken by a driver; a read takes it.
            SMBI: 0,
            /// Taken by software against firmware.
            SWESMBI: 1,
        }
        /// Resources in use by software and firmware.
        SW_FW_SYNC @ 0x5B5C: Rw, Mailbox {
            /// Software uses the EEPROM.
            SW_EEP: 0,
            /// Software uses the PHY of port 0.
            SW_PHY0: 1,
            /// Software uses the PHY of port 1.
            SW_PHY1: 2,
            /// Firmware uses the EEPROM.
            FW_EEP: 16,
            /// Firmware uses the PHY of port 0.
            FW_PHY0: 17,
            /// Firmware uses the PHY of port 1.
            FW_PHY1: 18,
        }
        /// LEDs.
        LEDCTL @ 0x0E00: Rw, Ignore {
            /// What LED 0 shows; 0xE = on, 0xF = off.
            LED0_MODE: 0..=3,
            /// LED 0 blinks.
            LED0_BLINK: 7,
        }
        /// Ethernet type of VLAN tags.
        VET @ 0x0038: Rw, LastWrite(Setup) {}
        /// Wake-up control.
        WUC @ 0x5800: Rw, LastWrite(Setup) {
            /// Wakes the machine by PME.
            PME_EN: 1,
        }
        /// Wake-up filters: what wakes.
        WUFC @ 0x5808: Rw, LastWrite(Setup) {
            /// A change of the link.
            LNKC: 0,
            /// A magic packet.
            MAG: 1,
            /// A packet to an address of the MAC filter.
            EX: 2,
            /// A multicast packet.
            MC: 3,
            /// A broadcast packet.
            BC: 4,
        }

        // Flow control.

        /// Address of pause frames, low half.
        FCAL @ 0x0028: Rw, LastWrite(Setup) {}
        /// Address of pause frames, high half.
        FCAH @ 0x002C: Rw, LastWrite(Setup) {}
        /// Ethernet type of pause frames.
        FCT @ 0x0030: Rw, LastWrite(Setup) {}
        /// Time that a pause frame asks for, in units of 512 bit times.
        FCTTV @ 0x0170: Rw, LastWrite(Setup) {}
        /// Fill of the receive buffer below which sending is allowed again, in bytes.
        FCRTL @ 0x2160: Rw, LastWrite(Setup) {
            /// Says so by a frame (XON).
            XONE: 31,
        }
        /// Fill of the receive buffer from which a pause is asked for, in bytes.
        FCRTH @ 0x2168: Rw, LastWrite(Setup) {}

        // Receive and transmit control.

        /// Receive control.
        RCTL @ 0x0100: Rw, LastWrite(Setup) {
            /// Receives.
            RXEN: 1,
            /// Unicast promiscuous.
            UPE: 3,
            /// Multicast promiscuous.
            MPE: 4,
            /// Long packets.
            LPE: 5,
            /// Which bits of an address the multicast hash is made of; 0 = 47:36.
            MO: 12..=13,
            /// Accepts broadcast.
            BAM: 15,
            /// Filters VLANs.
            VFE: 18,
            /// Strips the frame check sequence.
            SECRC: 26,
        }
        /// Largest frame in bytes, when long packets are on.
        RLPML @ 0x5004: Rw, LastWrite(Setup) {
            /// Bytes.
            RLPML: 0..=13,
        }
        /// Receive checksum control.
        RXCSUM @ 0x5000: Rw, LastWrite(Setup) {
            /// IPv4 header checksums.
            IPOFLD: 8,
            /// TCP and UDP checksums.
            TUOFLD: 9,
            /// SCTP checksums.
            CRCOFL: 11,
            /// No packet checksum: its place in the descriptor holds the RSS hash.
            PCSD: 13,
        }
        /// Receive filter control.
        RFCTL @ 0x5008: Rw, LastWrite(Setup) {}
        /// Transmit control.
        TCTL @ 0x0400: Rw, LastWrite(Setup) {
            /// Transmits.
            EN: 1,
            /// Pads short packets.
            PSP: 3,
            /// Collision threshold.
            CT: 4..=11,
            /// Sends again after a late collision.
            RTLC: 24,
        }
        /// DMA transmit control.
        DTXCTL @ 0x3590: Rw, LastWrite(Setup) {
            /// Tags may be inserted by hardware: the switch looks at them after that.
            VLAN_ADDED: 0,
        }
        /// Packet split receive type of pools.
        PSRTYPE[8; 4] @ 0x5480: Rw, LastWrite(Setup) {}

        // Filters.

        /// MAC filter, low half. Takes effect with the high half, which is written after it.
        RAL[16; 8] @ 0x5400: Rw, LastWrite(Setup) {}
        /// MAC filter, high half.
        RAH[16; 8] @ 0x5404: Rw, LastWrite(Setup) {
            /// The last two bytes of the address.
            ADDR: 0..=15,
            /// Pools that receive.
            POOLSEL: 18..=25,
            /// The entry is valid.
            AV: 31,
        }
        /// MAC filter, entries from 16 on, low half.
        RAL2[8; 8] @ 0x54E0: Rw, LastWrite(Setup) {}
        /// MAC filter, entries from 16 on, high half.
        RAH2[8; 8] @ 0x54E4: Rw, LastWrite(Setup) {}
        /// Multicast hashes that are received.
        MTA[128; 4] @ 0x5200: Rw, LastWrite(Setup) {}
        /// Unicast hashes that are received.
        UTA[128; 4] @ 0xA000: Wo, LastWrite(Setup) {}
        /// VLANs that are received, by any pool.
        VFTA[128; 4] @ 0x5600: Rw, LastWrite(Setup) {}

        // Receive side scaling.

        /// Hash key.
        RSSRK[10; 4] @ 0x5C80: Rw, LastWrite(Setup) {}
        /// Queues by hash, four entries each.
        RETA[32; 4] @ 0x5C00: Rw, LastWrite(Setup) {}
        /// Multiple receive queues command.
        MRQC @ 0x5818: Rw, LastWrite(Setup) {
            /// 2 = by hash, 3 = by pool, 5 = by pool and hash.
            ENABLE: 0..=2,
            /// Hashes TCP over IPv4.
            IPV4_TCP: 16,
            /// Hashes IPv4.
            IPV4: 17,
            /// Hashes TCP over IPv6 with extensions.
            IPV6_TCP_EX: 18,
            /// Hashes IPv6.
            IPV6: 20,
            /// Hashes TCP over IPv6.
            IPV6_TCP: 21,
            /// Hashes UDP over IPv4.
            IPV4_UDP: 22,
            /// Hashes UDP over IPv6.
            IPV6_UDP: 23,
        }

        // Switch between pools.

        /// Pools in general.
        VT_CTL @ 0x581C: Rw, LastWrite(Setup) {
            /// Pool of packets that no filter assigns.
            DEFAULT_POOL: 7..=9,
            /// Drops packets that no filter assigns.
            DIS_DEF_POOL: 29,
            /// Copies multicast to all pools that want it.
            REPL_EN: 30,
        }
        /// VLANs of pools.
        VLVF[32; 4] @ 0x5D00: Rw, LastWrite(Setup) {
            /// VLAN.
            VLANID: 0..=11,
            /// Pools that are members.
            POOLSEL: 12..=19,
            /// The entry is valid.
            VLANID_ENABLE: 31,
        }
        /// Offloads and acceptance of a pool.
        VMOLR[8; 4] @ 0x5AD0: Rw, LastWrite(Setup) {
            /// Largest frame in bytes, when long packets are on.
            RLPML: 0..=13,
            /// Long packets.
            LPE: 16,
            /// Two queues by hash.
            RSSE: 17,
            /// Accepts untagged packets.
            AUPE: 24,
            /// Accepts what the multicast table holds.
            ROMPE: 25,
            /// Accepts what the unicast table holds.
            ROPE: 26,
            /// Accepts broadcast.
            BAM: 27,
            /// Multicast promiscuous.
            MPME: 28,
            /// Strips VLAN tags.
            STRVLAN: 30,
            /// Strips the frame check sequence.
            STRCRC: 31,
        }
        /// Offloads of copied packets.
        RPLOLR @ 0x5AF0: Rw, LastWrite(Setup) {
            /// Strips VLAN tags.
            STRVLAN: 30,
            /// Strips the frame check sequence.
            STRCRC: 31,
        }
        /// VLAN tag that is inserted for a pool.
        VMVIR[8; 4] @ 0x3700: Rw, LastWrite(Setup) {
            /// The tag, with its priority.
            PORT_VLAN: 0..=15,
            /// 1 = insert it always, 2 = insert no tag.
            VLANA: 30..=31,
        }
        /// Switch of what is sent.
        DTXSWC @ 0x3500: Rw, LastWrite(Setup) {
            /// Pools whose source addresses are checked.
            MACAS: 0..=7,
            /// Pools whose VLANs are checked.
            VLANAS: 8..=15,
            /// Pools that may send to themselves.
            LLE: 16..=23,
            /// Sends between pools.
            LOOPBACK_EN: 31,
        }
        /// Queues that drop packets when they have no buffers.
        QDE @ 0x2408: Rw, LastWrite(Setup) {}
        /// Pools that have sent what they must not; cleared by a read.
        WVBR @ 0x3554: Rc, Ignore {}
        /// Transmit rate: selects the queue.
        RTTDQSEL @ 0x3604: Rw, Ignore {}
        /// Transmit rate: memory window.
        RTTBCNRM @ 0x3690: Rw, Ignore {}
        /// Transmit rate of the selected queue.
        RTTBCNRC @ 0x36B0: Rw, Ignore {
            /// Link speed by rate, fraction.
            RF_DEC: 0..=13,
            /// Link speed by rate.
            RF_INT: 14..=27,
            /// Limits the rate.
            RS_ENA: 31,
        }

        // Time synchronisation (see `clock`). A time stamp stays, and no other is taken, until its high half was read; of a
        // received one the emulator wants the attributes' high half read instead.

        /// Filters by Ethernet type.
        ETQF[8; 4] @ 0x5CB0: Rw, LastWrite(Setup) {
            /// Ethernet type.
            ETYPE: 0..=15,
            /// The filter is on.
            FILTER_ENABLE: 26,
            /// Takes time stamps of what it matches.
            TIMESTAMP: 30,
            /// Chooses the queue.
            QUEUE_ENABLE: 31,
        }
        /// Filters by ports and addresses: destination port, its bytes in the order of the network.
        IMIR[8; 4] @ 0x5A80: Rw, LastWrite(Setup) {
            /// Destination port.
            PORT: 0..=15,
        }
        /// Filters by ports and addresses: size and flags.
        IMIREXT[8; 4] @ 0x5AA0: Rw, LastWrite(Setup) {
            /// Any size.
            SIZE_BP: 12,
            /// Any TCP flags.
            CTRL_BP: 19,
        }
        /// Filters by ports and addresses: source port, its bytes in the order of the network.
        SPQF[8; 4] @ 0x59C0: Rw, LastWrite(Setup) {
            /// Source port.
            PORT: 0..=15,
        }
        /// Filters by ports and addresses: what is compared.
        FTQF[8; 4] @ 0x59E0: Rw, LastWrite(Setup) {
            /// IP protocol.
            PROTOCOL: 0..=7,
            /// Any pool.
            VF_BP: 15,
            /// Takes time stamps of what it matches.
            TIMESTAMP: 27,
            /// Any protocol.
            PROTOCOL_BP: 28,
            /// Any addresses.
            ADDRESSES_BP: 29..=30,
            /// Any source port.
            SOURCE_PORT_BP: 31,
        }
        /// Increment of the time.
        TIMINCA @ 0xB608: Rw, LastWrite(Setup) {
            /// Added each period, in units of 2 to the power of -19 ns.
            INCVALUE: 0..=23,
            /// Period, in units of 16 ns.
            INCPERIOD: 24..=31,
        }
        /// Which received PTP packets get time stamps.
        TSYNCRXCFG @ 0x5F50: Rw, LastWrite(Setup) {
            /// Message of version 1, by its control field.
            CTRLT: 0..=7,
            /// Message of version 2.
            MSGT: 8..=15,
        }
        /// Time stamps of received packets.
        TSYNCRXCTL @ 0xB620: Rw, LastWrite(Setup) {
            /// One was taken.
            VALID: 0,
            /// Of which packets.
            TYPE: 1..=3,
            /// They are taken.
            EN: 4,
        }
        /// Time stamps of sent packets.
        TSYNCTXCTL @ 0xB614: Rw, LastWrite(Setup) {
            /// One was taken.
            VALID: 0,
            /// They are taken.
            EN: 4,
        }
        /// Time, low half. A read latches the high half, so no dump may come in between.
        SYSTIML @ 0xB600: Rc, Ignore {}
        /// Time, high half. Free running: another device counts from somewhere else.
        SYSTIMH @ 0xB604: Ro, Ignore {}
        /// Time stamp of a received packet, low half.
        RXSTMPL @ 0xB624: Ro, Ignore {}
        /// Time stamp of a received packet, high half.
        RXSTMPH @ 0xB628: Rc, Ignore {}
        /// Sender of the stamped packet, low half.
        RXSATRL @ 0xB62C: Ro, Ignore {}
        /// Sender of the stamped packet, high half, and its sequence number.
        RXSATRH @ 0xB630: Rc, Ignore {}
        /// Time stamp of a sent packet, low half.
        TXSTMPL @ 0xB618: Ro, Ignore {}
        /// Time stamp of a sent packet, high half.
        TXSTMPH @ 0xB61C: Rc, Ignore {}

        // Mailboxes of the virtual functions.

        /// Mailbox memories: 16 words each.
        VMBMEM[128; 4] @ 0x0800: Rw, Mailbox {}
        /// Mailbox control of a virtual function.
        P2VMAILBOX[8; 4] @ 0x0C00: Rw, Mailbox {
            /// A message is in the mailbox memory.
            STS: 0,
            /// The message of the virtual function was read.
            ACK: 1,
            /// The virtual function owns the mailbox memory.
            VFU: 2,
            /// This function owns the mailbox memory.
            PFU: 3,
            /// Takes the mailbox memory from the virtual function.
            RVFU: 4,
        }
        /// Mailbox interrupt causes; writing 1 clears.
        MBVFICR @ 0x0C80: Rw1c, Mailbox {
            /// Functions that have sent a message.
            VFREQ: 0..=7,
            /// Functions that have read our message.
            VFACK: 16..=23,
        }
        /// Functions whose mailboxes raise an interrupt.
        MBVFIMR @ 0x0C84: Rw, LastWrite(Interrupts) {}
        /// Functions that were reset; writing 1 clears.
        VFLRE @ 0x0C88: Rw1c, Mailbox {}
        /// Pools that receive.
        VFRE @ 0x0C8C: Rw, LastWrite(Setup) {}
        /// Pools that transmit.
        VFTE @ 0x0C90: Rw, LastWrite(Setup) {}
    }
    routing {
        /// Mode of the interrupt unit.
        GPIE @ 0x1514: Rw, LastWrite(Setup) {
            /// Clears all causes by one read.
            NSICR: 0,
            /// One bit per vector, not per cause.
            MSIX_MODE: 4,
            /// Masks by EIAM when the message is sent.
            EIAME: 30,
            /// Clears pending bits.
            PBA: 31,
        }
        /// Vectors of the queues: element n holds receive and transmit queue n, then those of n + 8.
        IVAR[8; 4] @ 0x1700: Rw, LastWrite(Interrupts) {
            /// Vector of receive queue n.
            RX: 0..=4,
            /// Receive queue n has a vector.
            RX_VALID: 7,
            /// Vector of transmit queue n.
            TX: 8..=12,
            /// Transmit queue n has a vector.
            TX_VALID: 15,
            /// Vector of receive queue n + 8.
            RX8: 16..=20,
            /// Receive queue n + 8 has a vector.
            RX8_VALID: 23,
            /// Vector of transmit queue n + 8.
            TX8: 24..=28,
            /// Transmit queue n + 8 has a vector.
            TX8_VALID: 31,
        }
        /// Vectors of everything else.
        IVAR_MISC @ 0x1740: Rw, LastWrite(Interrupts) {
            /// Vector of the TCP timer.
            TIMER: 0..=4,
            /// The TCP timer has a vector.
            TIMER_VALID: 7,
            /// Vector of the other causes.
            OTHER: 8..=12,
            /// The other causes have a vector.
            OTHER_VALID: 15,
        }
        /// Interrupt causes; cleared by a read.
        ICR @ 0x00C0: Rc, Ignore {
            /// Link status change.
            LSC: 2,
            /// Mailbox of a virtual function, or its reset.
            VMMB: 8,
            /// Time synchronisation.
            TS: 19,
            /// DMA out of step.
            DOUTSYNC: 28,
            /// The device was reset.
            DRSTA: 30,
        }
        /// Sets causes.
        ICS @ 0x00C8: Wo, Kick {
            /// Link status change.
            LSC: 2,
            /// Mailbox of a virtual function, or its reset.
            VMMB: 8,
        }
        /// Masks causes: writing 1 disables.
        IMC @ 0x00D8: Wo, Ignore {
            /// Mailbox of a virtual function, or its reset.
            VMMB: 8,
        }
        /// Unmasks causes: writing 1 enables.
        IMS @ 0x00D0: Rws, LastWrite(Unmask) {
            /// Link status change.
            LSC: 2,
            /// Mailbox of a virtual function, or its reset.
            VMMB: 8,
            /// DMA out of step.
            DOUTSYNC: 28,
            /// The device was reset.
            DRSTA: 30,
        }
    }
    own {
        // Statistics: a read clears. Of a pair the low half is read first and cleared by the high half's read.

        /// CRC errors.
        CRCERRS @ 0x4000: Rc, SelfEmulate {32 bits} {}
        /// Alignment errors.
        ALGNERRC @ 0x4004: Rc, SelfEmulate {32 bits} {}
        /// Receive errors.
        RXERRC @ 0x400C: Rc, SelfEmulate {32 bits} {}
        /// Packets missed for want of packet buffer.
        MPC @ 0x4010: Rc, SelfEmulate {32 bits} {}
        /// Single collisions.
        SCC @ 0x4014: Rc, SelfEmulate {32 bits} {}
        /// Excessive collisions.
        ECOL @ 0x4018: Rc, SelfEmulate {32 bits} {}
        /// Multiple collisions.
        MCC @ 0x401C: Rc, SelfEmulate {32 bits} {}
        /// Late collisions.
        LATECOL @ 0x4020: Rc, SelfEmulate {32 bits} {}
        /// Collisions.
        COLC @ 0x4028: Rc, SelfEmulate {32 bits} {}
        /// Deferred transmits.
        DC @ 0x4030: Rc, SelfEmulate {32 bits} {}
        /// Transmits without carrier sense.
        TNCRS @ 0x4034: Rc, SelfEmulate {32 bits} {}
        /// Receive length errors.
        RLEC @ 0x4040: Rc, SelfEmulate {32 bits} {}
        /// XON frames received.
        XONRXC @ 0x4048: Rc, SelfEmulate {32 bits} {}
        /// XON frames transmitted.
        XONTXC @ 0x404C: Rc, SelfEmulate {32 bits} {}
        /// XOFF frames received.
        XOFFRXC @ 0x4050: Rc, SelfEmulate {32 bits} {}
        /// XOFF frames transmitted.
        XOFFTXC @ 0x4054: Rc, SelfEmulate {32 bits} {}
        /// Good packets received.
        GPRC @ 0x4074: Rc, SelfEmulate {32 bits} {}
        /// Broadcast packets received.
        BPRC @ 0x4078: Rc, SelfEmulate {32 bits} {}
        /// Multicast packets received.
        MPRC @ 0x407C: Rc, SelfEmulate {32 bits} {}
        /// Good packets transmitted.
        GPTC @ 0x4080: Rc, SelfEmulate {32 bits} {}
        /// Good octets received, low half.
        GORCL @ 0x4088: Rc, SelfEmulate {64 bits} {}
        /// Good octets received, high half.
        GORCH @ 0x408C: Rc, Ignore {}
        /// Good octets transmitted, low half.
        GOTCL @ 0x4090: Rc, SelfEmulate {64 bits} {}
        /// Good octets transmitted, high half.
        GOTCH @ 0x4094: Rc, Ignore {}
        /// Packets for which a queue had no buffer.
        RNBC @ 0x40A0: Rc, SelfEmulate {32 bits} {}
        /// Undersized packets received.
        RUC @ 0x40A4: Rc, SelfEmulate {32 bits} {}
        /// Fragments received.
        RFC @ 0x40A8: Rc, SelfEmulate {32 bits} {}
        /// Oversized packets received.
        ROC @ 0x40AC: Rc, SelfEmulate {32 bits} {}
        /// Jabber received.
        RJC @ 0x40B0: Rc, SelfEmulate {32 bits} {}
        /// Octets received, low half.
        TORL @ 0x40C0: Rc, SelfEmulate {64 bits} {}
        /// Octets received, high half.
        TORH @ 0x40C4: Rc, Ignore {}
        /// Octets transmitted, low half.
        TOTL @ 0x40C8: Rc, SelfEmulate {64 bits} {}
        /// Octets transmitted, high half.
        TOTH @ 0x40CC: Rc, Ignore {}
        /// Multicast packets transmitted.
        MPTC @ 0x40F0: Rc, SelfEmulate {32 bits} {}
        /// Broadcast packets transmitted.
        BPTC @ 0x40F4: Rc, SelfEmulate {32 bits} {}
        /// TCP segmentation contexts transmitted.
        TSCTC @ 0x40F8: Rc, SelfEmulate {32 bits} {}

        // Statistics of pools: free running, not cleared by a read.

        /// Good packets received by a virtual function.
        PVFGPRC[8; 0x100] @ 0x10010: Ro, SelfEmulate {32 bits} {}
        /// Good packets transmitted by a virtual function.
        PVFGPTC[8; 0x100] @ 0x10014: Ro, SelfEmulate {32 bits} {}
        /// Good octets received by a virtual function.
        PVFGORC[8; 0x100] @ 0x10018: Ro, SelfEmulate {32 bits} {}
        /// Good octets transmitted by a virtual function.
        PVFGOTC[8; 0x100] @ 0x10034: Ro, SelfEmulate {32 bits} {}
        /// Multicast packets received by a virtual function.
        PVFMPRC[8; 0x100] @ 0x1003C: Ro, SelfEmulate {32 bits} {}
    }
}

/// A reset is a write of CTRL as well, see [`CTRL::RST`].
impl compsc_core::class::Resets for CTRL {}

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

impl MRQC {
    /// [`MRQC::ENABLE`]: queues by hash.
    pub const ENABLE_RSS: u32 = 2;
    /// [`MRQC::ENABLE`]: queues by pool, and by hash within a pool.
    pub const ENABLE_VMDQ_RSS: u32 = 5;
}

impl TSYNCRXCTL {
    /// [`TSYNCRXCTL::TYPE`]: version 1 over UDP, of the message that [`TSYNCRXCFG::CTRLT`] names.
    pub const TYPE_L4_V1: u32 = 1;
    /// [`TSYNCRXCTL::TYPE`]: event messages of version 2.
    pub const TYPE_EVENT_V2: u32 = 5;
}

impl TSYNCRXCFG {
    /// [`TSYNCRXCFG::CTRLT`]: Sync.
    pub const CTRLT_SYNC: u32 = 0;
    /// [`TSYNCRXCFG::CTRLT`]: Delay_Req.
    pub const CTRLT_DELAY_REQ: u32 = 1;
}

impl ETQF {
    /// The filter that takes time stamps of packets of PTP over Ethernet.
    pub const PTP: Self = Self::zeroed()
        .with(Self::ETYPE, 0x88f7)
        .set(Self::FILTER_ENABLE)
        .set(Self::TIMESTAMP);
}

/// A port as [`IMIR`] and [`SPQF`] hold it.
const fn filtered_port(port: u16) -> u32 {
    port.swap_bytes() as u32
}

/// Port of PTP's event messages over UDP.
const PTP_EVENTS: u16 = 319;

impl IMIR {
    /// To PTP's port of event messages.
    pub const PTP: Self = Self::zeroed().with(Self::PORT, filtered_port(PTP_EVENTS));
}

impl SPQF {
    /// From PTP's port of event messages.
    pub const PTP: Self = Self::zeroed().with(Self::PORT, filtered_port(PTP_EVENTS));
}

impl IMIREXT {
    /// Whatever size and flags.
    pub const ANY: Self = Self::zeroed().set(Self::SIZE_BP).set(Self::CTRL_BP);
}

impl FTQF {
    /// The filter is off.
    pub const OFF: Self = Self::zeroed()
        .set(Self::PROTOCOL_BP)
        .with(Self::ADDRESSES_BP, 3)
        .set(Self::SOURCE_PORT_BP);
    /// Takes time stamps of packets of PTP over UDP; the ports are in [`IMIR`] and [`SPQF`].
    pub const PTP: Self = Self::zeroed()
        .with(Self::PROTOCOL, 17)
        .set(Self::VF_BP)
        .set(Self::TIMESTAMP)
        .with(Self::ADDRESSES_BP, 3);
}

impl VMVIR {
    /// [`VMVIR::VLANA`]: insert the pool's tag always.
    pub const VLANA_DEFAULT: u32 = 1;
}

impl MDIC {
    /// [`MDIC::OP`]: write.
    pub const OP_WRITE: u32 = 1;
    /// [`MDIC::OP`]: read.
    pub const OP_READ: u32 = 2;
}

impl IVAR {
    /// The value with both directions of a queue on a vector. The element is that of the queue modulo 8.
    #[must_use]
    pub const fn with_queue(self, queue: usize, vector: u32) -> Self {
        if queue < POOLS {
            self.with(Self::RX, vector)
                .set(Self::RX_VALID)
                .with(Self::TX, vector)
                .set(Self::TX_VALID)
        } else {
            self.with(Self::RX8, vector)
                .set(Self::RX8_VALID)
                .with(Self::TX8, vector)
                .set(Self::TX8_VALID)
        }
    }
}

/// Words of the EEPROM (Linux `igb/e1000_defines.h`, `igb/e1000_nvm.c`).
pub mod nvm {
    /// Version of the image.
    pub const VERSION: u32 = 0x05;
    /// Part number of the board: two words of digits, or [`PART_IN_TEXT`] and where the text is.
    pub const PART: u32 = 0x08;
    /// The part number is a text.
    pub const PART_IN_TEXT: u16 = 0xfafa;
    /// Settings of port 1.
    pub const INIT_CONTROL3_PORT1: u32 = 0x14;
    /// [`INIT_CONTROL3_PORT1`]: the port is made to wake the machine. Port 0 always is.
    pub const APME: u16 = 1 << 10;
    /// Number of the image in its maker's archive, lower half.
    pub const ETRACK: u32 = 0x42;

    /// Version of an EEPROM's image.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Version {
        /// Major version.
        pub major: u16,
        /// Minor version.
        pub minor: u16,
        /// Number of the image.
        pub image: Image,
    }

    /// How images of one version are told apart.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Image {
        /// By a build number.
        Build(u16),
        /// By the number in the maker's archive.
        Etrack(u32),
    }

    /// The version that the word [`VERSION`] and the two from [`ETRACK`] on tell.
    #[must_use]
    pub const fn version(word: u16, etrack: [u16; 2]) -> Version {
        let major = word >> 12;
        if etrack[1] & 0xf000 != 0x8000 {
            return Version {
                major,
                minor: word >> 4 & 0xff,
                image: Image::Build(word & 0xf),
            };
        }
        // Older images have the minor version in the low byte; it is written in decimal digits.
        let digits = if word & 0x0f00 == 0 {
            word & 0xff
        } else {
            word >> 4 & 0xff
        };
        Version {
            major,
            minor: digits / 16 * 10 + digits % 16,
            image: Image::Etrack((etrack[1] as u32) << 16 | etrack[0] as u32),
        }
    }
}

/// Registers of the PHY (IEEE 802.3 clause 22).
pub mod phy {
    /// Address of the internal PHY.
    pub const ADDRESS: u32 = 1;
    /// Basic mode control.
    pub const BMCR: u32 = 0;
    /// Basic mode status.
    pub const BMSR: u32 = 1;
    /// Identifier, upper half.
    pub const PHYID1: u32 = 2;
    /// Identifier, lower half.
    pub const PHYID2: u32 = 3;
    /// What autonegotiation advertises.
    pub const ANAR: u32 = 4;
    /// What the link partner advertises.
    pub const ANLPAR: u32 = 5;
    /// 1000BASE-T control: what is advertised.
    pub const CTRL1000: u32 = 9;
    /// 1000BASE-T status: what the link partner advertises.
    pub const STAT1000: u32 = 10;

    /// [`BMCR`]: power down.
    pub const BMCR_PDOWN: u16 = 1 << 11;
    /// [`BMCR`]: autonegotiation starts anew.
    pub const BMCR_ANRESTART: u16 = 1 << 9;
    /// [`BMCR`]: autonegotiation.
    pub const BMCR_ANENABLE: u16 = 1 << 12;
    /// [`BMSR`]: link.
    pub const BMSR_LSTATUS: u16 = 1 << 2;
    /// [`BMSR`]: autonegotiation is complete.
    pub const BMSR_ANEGCOMPLETE: u16 = 1 << 5;
    /// [`ANAR`]: IEEE 802.3 selector.
    pub const ANAR_CSMA: u16 = 1;
    /// [`ANAR`], [`ANLPAR`]: 10BASE-T half duplex; full duplex, 100BASE-TX half and full duplex are the bits above.
    pub const ADVERTISE_10HALF: u16 = 1 << 5;
    /// Pause frames.
    pub const ADVERTISE_PAUSE: u16 = 1 << 10;
    /// Pause frames in one direction.
    pub const ADVERTISE_ASYM_PAUSE: u16 = 1 << 11;
    /// [`CTRL1000`]: 1000BASE-T full duplex.
    pub const ADVERTISE_1000FULL: u16 = 1 << 9;
    /// [`STAT1000`]: 1000BASE-T full duplex.
    pub const LPA_1000FULL: u16 = 1 << 11;
}
