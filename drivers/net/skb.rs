// SPDX-License-Identifier: GPL-2.0

//! Socket buffers.

use crate::bindings;
use core::ptr::NonNull;
use kernel::prelude::*;

/// The fields that `struct sk_buff` calls `headers`.
type Headers = bindings::sk_buff__bindgen_ty_4__bindgen_ty_2;

/// How far the checksum of a packet is done (`CHECKSUM_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Checksum {
    /// Not verified, or complete.
    None = 0,
    /// Verified by the hardware.
    Unnecessary = 1,
    /// To be filled in by the hardware.
    Partial = 3,
}

/// An owned socket buffer. Dropping it frees the packet.
#[repr(transparent)]
pub struct Skb(NonNull<bindings::sk_buff>);

// SAFETY: An owned packet may be handed to another CPU.
unsafe impl Send for Skb {}

impl Skb {
    /// Takes ownership of a packet.
    ///
    /// # Safety
    ///
    /// `raw` is null or a valid packet that the caller owns and gives away.
    #[inline(always)]
    pub unsafe fn from_raw(raw: *mut bindings::sk_buff) -> Option<Self> {
        NonNull::new(raw).map(Self)
    }

    /// Gives ownership away.
    #[inline(always)]
    pub fn into_raw(self) -> *mut bindings::sk_buff {
        let raw = self.0.as_ptr();
        core::mem::forget(self);
        raw
    }

    /// The C structure.
    #[inline(always)]
    pub fn as_raw(&self) -> *mut bindings::sk_buff {
        self.0.as_ptr()
    }

    #[inline(always)]
    fn raw(&self) -> &bindings::sk_buff {
        // SAFETY: An owned packet is valid; its fields are changed by its owner only.
        unsafe { self.0.as_ref() }
    }

    #[inline(always)]
    fn raw_mut(&mut self) -> &mut bindings::sk_buff {
        // SAFETY: As above.
        unsafe { self.0.as_mut() }
    }

    #[inline(always)]
    fn headers(&self) -> &Headers {
        // SAFETY: The union's two members have the same layout by construction (`struct_group`).
        unsafe { self.raw().__bindgen_anon_4.headers.as_ref() }
    }

    #[inline(always)]
    fn headers_mut(&mut self) -> &mut Headers {
        // SAFETY: As above.
        unsafe { self.raw_mut().__bindgen_anon_4.headers.as_mut() }
    }

    /// Length of the whole packet in bytes.
    #[inline(always)]
    pub fn len(&self) -> u32 {
        self.raw().len
    }

    /// Whether the packet holds no byte.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Transmit queue that the stack chose.
    #[inline(always)]
    pub fn queue_mapping(&self) -> usize {
        self.raw().queue_mapping.into()
    }

    /// Length of the linear part in bytes.
    #[inline(always)]
    pub fn headlen(&self) -> u32 {
        self.raw().len.wrapping_sub(self.raw().data_len)
    }

    /// Start of the linear part.
    #[inline(always)]
    pub fn data(&self) -> *mut u8 {
        self.raw().data
    }

    /// Bytes between the buffer's start and the data.
    #[inline(always)]
    fn headroom(&self) -> u32 {
        // CAST: A buffer is smaller than 4 GiB.
        (self.raw().data as usize).wrapping_sub(self.raw().head as usize) as u32
    }

    /// The fragments and the segmentation data.
    #[inline(always)]
    pub fn shared(&self) -> &bindings::skb_shared_info {
        // SAFETY: `end` is the offset of the shared info in every packet.
        unsafe { &*self.raw().head.add(self.raw().end as usize).cast() }
    }

    /// The fragments.
    #[inline(always)]
    pub fn frags(&self) -> &[bindings::skb_frag_t] {
        let shared = self.shared();
        // SAFETY: `nr_frags` entries of the array are valid.
        unsafe { shared.frags.get_unchecked(..usize::from(shared.nr_frags)) }
    }

    /// Segment size in bytes if the packet is to be segmented, else 0.
    #[inline(always)]
    pub fn gso_size(&self) -> u16 {
        self.shared().gso_size
    }

    /// State of the checksum as the stack hands the packet to a driver.
    #[inline(always)]
    pub fn checksum_partial(&self) -> bool {
        self.headers()._bitfield_1.get(5, 2) == Checksum::Partial as u64
    }

    /// Marks the packet's checksum as verified.
    #[inline(always)]
    pub fn set_checksum_unnecessary(&mut self) {
        self.headers_mut()
            .set_ip_summed(Checksum::Unnecessary as u8);
    }

    /// Offset of the checksummed part from the start of the data.
    #[inline(always)]
    pub fn checksum_start_offset(&self) -> u32 {
        // SAFETY: Both members of the union are integers.
        let start = unsafe { self.headers().__bindgen_anon_1.__bindgen_anon_1.csum_start };
        u32::from(start).wrapping_sub(self.headroom())
    }

    /// Offset of the checksum field from the start of the checksummed part.
    #[inline(always)]
    pub fn checksum_offset(&self) -> u16 {
        // SAFETY: Both members of the union are integers.
        unsafe { self.headers().__bindgen_anon_1.__bindgen_anon_1.csum_offset }
    }

    /// Offset of the network header from the start of the data.
    #[inline(always)]
    pub fn network_offset(&self) -> u32 {
        u32::from(self.headers().network_header).wrapping_sub(self.headroom())
    }

    /// Sets the hash of a received packet's flow; `layer4` tells that it covers the ports.
    #[inline(always)]
    pub fn set_hash(&mut self, hash: u32, layer4: bool) {
        let headers = self.headers_mut();
        headers.hash = hash;
        headers.set_l4_hash(layer4.into());
    }

    /// Whether the sender wants to know when the packet was sent.
    #[inline(always)]
    pub fn wants_stamp(&self) -> bool {
        u32::from(self.shared().tx_flags) & bindings::COMPSC_SKBTX_ANY != 0
    }

    /// Whether it wants to know from the hardware.
    pub fn wants_hardware_stamp(&self) -> bool {
        u32::from(self.shared().tx_flags) & bindings::COMPSC_SKBTX_HARDWARE != 0
    }

    /// The packet once more, for who waits for its time stamp: until that is there, no other one is reported.
    pub fn await_stamp(&mut self) -> Option<Self> {
        // SAFETY: The packet is valid and owned. What is returned has a reference of its own; its holder does not
        // change the packet.
        unsafe { Self::from_raw(bindings::compsc_skb_await_stamp(self.as_raw())) }
    }

    /// Reports when the packet was sent, in nanoseconds of the hardware's clock.
    pub fn report_sent(&self, ns: u64) {
        // SAFETY: The packet is valid; the function copies what it reports.
        unsafe { bindings::compsc_skb_tx_stamp(self.as_raw(), ns) };
    }

    /// Reports that the packet is sent now, if the sender wants to know from software.
    pub fn report_sending(&mut self) {
        // SAFETY: The packet is valid and owned.
        unsafe { bindings::compsc_skb_tx_software_stamp(self.as_raw()) };
    }

    /// Notes when the packet was received, in nanoseconds of the hardware's clock.
    pub fn set_stamp(&mut self, ns: u64) {
        // SAFETY: The packet is valid and owned.
        unsafe { bindings::compsc_skb_set_stamp(self.as_raw(), ns) };
    }

    /// Protocol, in network byte order.
    #[inline(always)]
    pub fn protocol(&self) -> u16 {
        self.headers().protocol
    }

    /// Sets the protocol, in network byte order.
    #[inline(always)]
    pub fn set_protocol(&mut self, protocol: u16) {
        self.headers_mut().protocol = protocol;
    }

    /// Whether a received packet was sent to a broadcast or multicast address.
    #[inline(always)]
    pub fn is_group_addressed(&self) -> bool {
        // PACKET_BROADCAST is 1 and PACKET_MULTICAST 2.
        matches!(self.headers()._bitfield_1.get(0, 3), 1 | 2)
    }

    /// Source address of a received Ethernet frame.
    pub fn source(&self) -> [u8; 6] {
        let mac = usize::from(self.headers().mac_header);
        // SAFETY: The header was set when the frame was handed in, and is 14 bytes long.
        unsafe { self.raw().head.add(mac + 6).cast::<[u8; 6]>().read() }
    }

    /// VLAN tag to be inserted (TCI), if any.
    #[inline(always)]
    pub fn vlan_tag(&self) -> Option<u16> {
        let vlan = &self.headers().__bindgen_anon_2;
        // SAFETY: All members of the union are integers of the same memory.
        unsafe { (vlan.vlan_all != 0).then_some(vlan.__bindgen_anon_1.vlan_tci) }
    }

    /// Attaches the VLAN tag that the hardware stripped.
    #[inline(always)]
    pub fn put_vlan_tag(&mut self, tci: u16) {
        // SAFETY: The packet is valid.
        unsafe { bindings::compsc_vlan_put_tag(self.as_raw(), tci) }
    }

    /// Lets software compute the checksum. On failure the packet cannot be sent.
    pub fn checksum_help(&mut self) -> Result {
        // SAFETY: The packet is valid and owned.
        kernel::error::to_result(unsafe { bindings::skb_checksum_help(self.as_raw()) })
    }

    /// Makes the headers writable.
    #[inline(always)]
    pub fn cow_head(&mut self) -> Result {
        // SAFETY: The packet is valid and owned.
        kernel::error::to_result(unsafe { bindings::compsc_skb_cow_head(self.as_raw()) })
    }

    /// The linear part, writable after [`cow_head`](Self::cow_head).
    #[inline(always)]
    pub fn head_mut(&mut self) -> &mut [u8] {
        let len = self.headlen() as usize;
        // SAFETY: The linear part is `headlen` bytes of initialised memory that the owner may change.
        unsafe { core::slice::from_raw_parts_mut(self.data(), len) }
    }
}

impl Drop for Skb {
    fn drop(&mut self) {
        // SAFETY: The packet is owned; the function may be called in any context.
        unsafe { bindings::compsc_dev_kfree_skb_any(self.as_raw()) };
    }
}
