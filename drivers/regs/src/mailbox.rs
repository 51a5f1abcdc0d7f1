// SPDX-License-Identifier: GPL-2.0

//! Messages between an 82576 virtual function (VF) and its physical function (PF); Linux `igbvf/mbx.h`,
//! `igbvf/vf.c`, `igb/e1000_mbx.h`. There is no version negotiation.
//!
//! A message is up to 16 words. The PF answers a request with its first word and ACK or NACK set,
//! sometimes with data after it. Without a request, the PF sends a control message ("ping") with CTS set while
//! the VF may talk; a ping without CTS means that the VF has to reset.

use crate::vf82576::V2PMAILBOX;

/// Words of the mailbox memory.
pub const WORDS: usize = 16;

/// Set in an answer: done.
pub const ACK: u32 = 1 << 31;
/// Set in an answer: refused.
pub const NACK: u32 = 1 << 30;
/// Set by the PF: clear to send, the VF may make requests.
pub const CTS: u32 = 1 << 29;
/// Position of the extra information in the first word, 8 bits.
pub const INFO_SHIFT: u32 = 16;
/// The extra information in place.
pub const INFO_MASK: u32 = 0xff << INFO_SHIFT;

/// Request: reset done, tell me my address.
pub const RESET: u32 = 0x01;
/// Request: set the MAC address, or change the list of further unicast addresses.
pub const SET_MAC_ADDR: u32 = 0x02;
/// Information of [`SET_MAC_ADDR`]: clear the list of further addresses.
pub const MAC_FILTER_CLR: u32 = 1 << INFO_SHIFT;
/// Information of [`SET_MAC_ADDR`]: add to the list of further addresses.
pub const MAC_FILTER_ADD: u32 = 2 << INFO_SHIFT;
/// Request: receive these multicast hashes.
pub const SET_MULTICAST: u32 = 0x03;
/// Request: receive a VLAN, or stop it.
pub const SET_VLAN: u32 = 0x04;
/// Request: receive frames up to a size.
pub const SET_LPE: u32 = 0x05;
/// Request: change promiscuity. igb only honours [`PROMISC_MULTICAST`], and only for trusted VFs.
pub const SET_PROMISC: u32 = 0x06;
/// Information of [`SET_PROMISC`]: all multicast.
pub const PROMISC_MULTICAST: u32 = 2 << INFO_SHIFT;
/// From the PF without a request.
pub const PF_CONTROL: u32 = 0x0100;

/// Most multicast hashes in a request.
pub const MAX_HASHES: usize = 30;

/// Bits of V2PMAILBOX that a read clears; whoever reads the register has to remember them.
pub const READ_CLEAR: u32 =
    V2PMAILBOX::PFSTS.mask() | V2PMAILBOX::PFACK.mask() | V2PMAILBOX::RSTD.mask();

/// A message to the PF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    words: [u32; WORDS],
    len: usize,
    answer_len: usize,
}

impl Message {
    const fn new(first: u32, len: usize, answer_len: usize) -> Self {
        let mut words = [0; WORDS];
        words[0] = first;
        Self {
            words,
            len,
            answer_len,
        }
    }

    const fn with_mac(mut self, mac: [u8; 6]) -> Self {
        self.words[1] = u32::from_le_bytes([mac[0], mac[1], mac[2], mac[3]]);
        self.words[2] = u32::from_le_bytes([mac[4], mac[5], 0, 0]);
        self
    }

    /// Reset is done. The answer is parsed by [`reset_answer`].
    pub const fn reset() -> Self {
        Self::new(RESET, 1, 3)
    }

    /// Sets the MAC address.
    pub const fn set_mac(mac: [u8; 6]) -> Self {
        Self::new(SET_MAC_ADDR, 3, 3).with_mac(mac)
    }

    /// Clears the list of further unicast addresses. igb looks at the address even so, and complains if it
    /// is not valid: give the function's own.
    pub const fn clear_mac_filters(own: [u8; 6]) -> Self {
        Self::new(SET_MAC_ADDR | MAC_FILTER_CLR, 3, 3).with_mac(own)
    }

    /// Adds to the list of further unicast addresses.
    pub const fn add_mac_filter(mac: [u8; 6]) -> Self {
        Self::new(SET_MAC_ADDR | MAC_FILTER_ADD, 3, 3).with_mac(mac)
    }

    /// Receives the multicast addresses of these hashes (see [`multicast_hash`]) and no others. Hashes beyond
    /// [`MAX_HASHES`] are left out; the second value tells how many.
    pub fn set_multicast(hashes: impl IntoIterator<Item = u16>) -> (Self, usize) {
        let mut message = Self::new(SET_MULTICAST, WORDS, 1);
        let mut count = 0;
        let mut left_out = 0;
        for hash in hashes {
            if count == MAX_HASHES {
                left_out += 1;
                continue;
            }
            message.words[1 + count / 2] |= u32::from(hash) << (16 * (count % 2));
            count += 1;
        }
        // CAST: at most 30.
        message.words[0] |= (count as u32) << INFO_SHIFT;
        (message, left_out)
    }

    /// Receives a VLAN, or stops it.
    pub const fn set_vlan(vid: u16, add: bool) -> Self {
        let mut message = Self::new(SET_VLAN | (add as u32) << INFO_SHIFT, 2, 2);
        message.words[1] = vid as u32;
        message
    }

    /// Receives frames of up to `bytes` bytes with headers, VLAN tag and frame check sequence.
    pub const fn set_lpe(bytes: u32) -> Self {
        let mut message = Self::new(SET_LPE, 2, 1);
        message.words[1] = bytes;
        message
    }

    /// Receives all multicast, or no longer.
    pub const fn set_promisc(multicast: bool) -> Self {
        Self::new(
            if multicast {
                SET_PROMISC | PROMISC_MULTICAST
            } else {
                SET_PROMISC
            },
            1,
            1,
        )
    }

    /// The words to put into the mailbox memory.
    pub fn words(&self) -> &[u32] {
        &self.words[..self.len]
    }

    /// How many words of the answer to read.
    pub const fn answer_len(&self) -> usize {
        self.answer_len
    }

    /// What the first word of an answer says about this request.
    pub const fn answer(&self, first: u32) -> Answer {
        // The PF echoes the request's first word, or only its type.
        let kind = first & 0xffff;
        if kind != self.words[0] & 0xffff {
            return Answer::Unrelated;
        }
        if first & NACK != 0 {
            Answer::Nack
        } else if first & ACK != 0 {
            Answer::Ack
        } else {
            Answer::Unrelated
        }
    }
}

/// A request of a virtual function, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The function was reset and asks for its address.
    Reset,
    /// Sets the MAC address.
    SetMac([u8; 6]),
    /// Forgets the further unicast addresses.
    ClearMacFilters,
    /// Adds a further unicast address.
    AddMacFilter([u8; 6]),
    /// Receives these multicast hashes and no others.
    SetMulticast(Hashes),
    /// Receives a VLAN, or stops it.
    SetVlan {
        /// VLAN, below 4096.
        vid: u16,
        /// Receives it.
        add: bool,
    },
    /// Receives frames of up to so many bytes.
    SetMaxFrame(u32),
    /// Receives all multicast, or no longer.
    SetPromisc {
        /// All multicast.
        multicast: bool,
    },
}

/// Multicast hashes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashes {
    hashes: [u16; MAX_HASHES],
    count: usize,
}

impl Hashes {
    /// No hash.
    pub const fn none() -> Self {
        Self {
            hashes: [0; MAX_HASHES],
            count: 0,
        }
    }

    /// The hashes, each below 4096.
    pub fn as_slice(&self) -> &[u16] {
        &self.hashes[..self.count]
    }
}

/// Why the words of a mailbox are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRequest {
    /// An acknowledgement, which is not answered.
    Answer,
    /// A kind of message, or a variant of one, that does not exist.
    Unknown,
    /// A value that is out of range.
    Invalid,
}

impl Request {
    /// Decodes what a virtual function has put into its mailbox: any words at all.
    ///
    /// # Errors
    ///
    /// When the words are no request.
    pub fn decode(words: &[u32; WORDS]) -> Result<Self, NoRequest> {
        let first = words[0];
        if first & (ACK | NACK) != 0 {
            return Err(NoRequest::Answer);
        }
        if first & CTS != 0 {
            return Err(NoRequest::Unknown);
        }
        let info = first & INFO_MASK;
        let mac = || {
            let [a, b, c, d] = words[1].to_le_bytes();
            let [e, f, _, _] = words[2].to_le_bytes();
            [a, b, c, d, e, f]
        };
        match (first & 0xffff, info) {
            (RESET, _) => Ok(Self::Reset),
            (SET_MAC_ADDR, 0) => unicast(mac()).map(Self::SetMac),
            (SET_MAC_ADDR, MAC_FILTER_CLR) => Ok(Self::ClearMacFilters),
            (SET_MAC_ADDR, MAC_FILTER_ADD) => unicast(mac()).map(Self::AddMacFilter),
            (SET_MULTICAST, _) => {
                let count = (info >> INFO_SHIFT) as usize;
                let mut hashes = Hashes::none();
                let wanted = hashes.hashes.get_mut(..count).ok_or(NoRequest::Invalid)?;
                for (i, hash) in wanted.iter_mut().enumerate() {
                    // CAST: one half of the word.
                    *hash = (words[1 + i / 2] >> (16 * (i % 2))) as u16 & 0xfff;
                }
                hashes.count = count;
                Ok(Self::SetMulticast(hashes))
            }
            (SET_VLAN, _) if words[1] < 4096 => Ok(Self::SetVlan {
                // CAST: just compared.
                vid: words[1] as u16,
                add: info != 0,
            }),
            (SET_VLAN, _) => Err(NoRequest::Invalid),
            (SET_LPE, _) => Ok(Self::SetMaxFrame(words[1])),
            (SET_PROMISC, 0) => Ok(Self::SetPromisc { multicast: false }),
            (SET_PROMISC, PROMISC_MULTICAST) => Ok(Self::SetPromisc { multicast: true }),
            _ => Err(NoRequest::Unknown),
        }
    }
}

fn unicast(mac: [u8; 6]) -> Result<[u8; 6], NoRequest> {
    if mac[0] & 1 != 0 || mac == [0; 6] {
        Err(NoRequest::Invalid)
    } else {
        Ok(mac)
    }
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Ack,
    /// Refused.
    Nack,
    /// Not an answer to this request: the PF's control message, or a late answer to another one.
    Unrelated,
}

/// The address in the PF's answer to [`Message::reset`]; `None` when the PF has assigned none (it refuses, or
/// the address is zero), and the VF chooses its own.
pub const fn reset_answer(words: &[u32; 3]) -> Option<[u8; 6]> {
    let [a, b, c, d] = words[1].to_le_bytes();
    let [e, f, _, _] = words[2].to_le_bytes();
    let zero = words[1] == 0 && words[2] & 0xffff == 0;
    if words[0] & NACK != 0 || zero {
        None
    } else {
        Some([a, b, c, d, e, f])
    }
}

/// Whether a message of the PF that is not an answer allows the VF to go on (CTS), or tells it to reset.
pub const fn clear_to_send(first: u32) -> bool {
    first & CTS != 0
}

/// The hash by which the PF filters multicast: bits 47:36 of the address as the wire numbers them (the upper 4 bits of
/// the fifth byte and all of the sixth; 82576 datasheet, RCTL.MO = 0).
pub const fn multicast_hash(mac: [u8; 6]) -> u16 {
    (mac[4] as u16) >> 4 | (mac[5] as u16) << 4
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

    #[test]
    fn requests() {
        assert_eq!(Message::reset().words(), [0x01]);
        assert_eq!(Message::set_mac(MAC).words(), [0x02, 0x1200_5452, 0x5634]);
        assert_eq!(
            Message::clear_mac_filters(MAC).words(),
            [0x0001_0002, 0x1200_5452, 0x5634]
        );
        assert_eq!(
            Message::add_mac_filter(MAC).words(),
            [0x0002_0002, 0x1200_5452, 0x5634]
        );
        assert_eq!(Message::set_vlan(100, true).words(), [0x0001_0004, 100]);
        assert_eq!(Message::set_vlan(100, false).words(), [0x0004, 100]);
        assert_eq!(Message::set_lpe(9018).words(), [0x05, 9018]);
        assert_eq!(Message::set_promisc(true).words(), [0x0002_0006]);
        assert_eq!(Message::set_promisc(false).words(), [0x06]);
    }

    #[test]
    fn multicast() {
        let (message, left_out) = Message::set_multicast([0x123, 0x456, 0x789]);
        assert_eq!(left_out, 0);
        assert_eq!(message.words().len(), WORDS);
        assert_eq!(message.words()[..4], [0x0003_0003, 0x0456_0123, 0x0789, 0]);
        let (message, left_out) = Message::set_multicast(0..40);
        assert_eq!(left_out, 10);
        assert_eq!(message.words()[0], 0x001e_0003);
        assert_eq!(message.words()[15], 29 << 16 | 28);
    }

    #[test]
    fn hash() {
        // 4096 bits of filter, mask and shift as the Linux drivers compute them.
        let reference = |mac: [u8; 6]| {
            let mask = 128 * 32 - 1u32;
            let mut shift = 0;
            while mask >> shift != 0xff {
                shift += 1;
            }
            mask & (u32::from(mac[4]) >> (8 - shift) | u32::from(mac[5]) << shift)
        };
        for last in (0..=u16::MAX).step_by(if cfg!(miri) { 1009 } else { 1 }) {
            let [a, b] = last.to_be_bytes();
            let mac = [0x01, 0x00, 0x5e, 0, a, b];
            assert_eq!(u32::from(multicast_hash(mac)), reference(mac));
        }
    }

    #[test]
    fn answers() {
        let vlan = Message::set_vlan(7, true);
        assert_eq!(vlan.answer(ACK | CTS | 0x0001_0004), Answer::Ack);
        assert_eq!(vlan.answer(NACK | CTS | 0x0004), Answer::Nack);
        assert_eq!(vlan.answer(PF_CONTROL | CTS), Answer::Unrelated);
        assert_eq!(vlan.answer(ACK | 0x03), Answer::Unrelated);
        assert_eq!(vlan.answer(0x0001_0004), Answer::Unrelated);
        assert_eq!((vlan.answer_len(), Message::reset().answer_len()), (2, 3));
        assert!(clear_to_send(PF_CONTROL | CTS) && !clear_to_send(PF_CONTROL));
    }

    #[test]
    fn address_from_the_physical_function() {
        assert_eq!(reset_answer(&[ACK | RESET, 0x1200_5452, 0x5634]), Some(MAC));
        assert_eq!(reset_answer(&[NACK | RESET, 0x1200_5452, 0x5634]), None);
        assert_eq!(reset_answer(&[ACK | RESET, 0, 0]), None);
    }

    #[test]
    fn read_clear_bits() {
        assert_eq!(READ_CLEAR, 0xb0);
    }
}
