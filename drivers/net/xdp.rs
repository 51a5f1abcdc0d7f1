// SPDX-License-Identifier: GPL-2.0

//! XDP, the kernel's programs at the driver's receive path: programs, what they see of a received frame, and
//! the frames that they send on.

use super::{
    netdev_address,
    BottomHalvesOff,
    Napi,
    Skb, //
};
use crate::bindings;
use core::{
    ptr::NonNull,
    sync::atomic::{
        AtomicPtr,
        Ordering, //
    },
};
use kernel::{
    prelude::*,
    str::CStr,
    types::Opaque, //
};

/// Bytes before a frame that programs may use.
pub const HEADROOM: u32 = bindings::XDP_PACKET_HEADROOM;

/// Bytes of a page around which a frame is built.
const FRAME_SIZE: u32 = kernel::page::PAGE_SIZE as u32;

/// A reference to a program.
pub struct Program(NonNull<bindings::bpf_prog>);

impl Program {
    /// Takes over a reference.
    ///
    /// # Safety
    ///
    /// `raw` is null or a valid program, of which the caller gives a reference away.
    pub unsafe fn from_raw(raw: *mut bindings::bpf_prog) -> Option<Self> {
        NonNull::new(raw).map(Self)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: The reference is ours.
        unsafe { bindings::bpf_prog_put(self.0.as_ptr()) };
    }
}

/// Whether a program takes frames of several buffers.
///
/// # Safety
///
/// The program is valid.
#[inline(always)]
pub unsafe fn takes_fragments(program: NonNull<bindings::bpf_prog>) -> bool {
    // SAFETY: By this function's requirement.
    unsafe { bindings::compsc_xdp_has_frags(program.as_ptr()) }
}

/// The program of a network device: replaced under RTNL, read by the data path.
pub struct ProgramSlot(AtomicPtr<bindings::bpf_prog>);

impl ProgramSlot {
    /// No program.
    #[expect(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }

    /// The program, which stays valid as long as the caller keeps bottom halves disabled, or holds RTNL.
    #[inline(always)]
    pub fn get(&self) -> Option<NonNull<bindings::bpf_prog>> {
        // Acquire: a program is seen with what was written to it before.
        NonNull::new(self.0.load(Ordering::Acquire))
    }

    /// Replaces the program, and waits until nobody runs the old one. Sleeps.
    pub fn replace(&self, program: Option<Program>) {
        let new = program.map_or(core::ptr::null_mut(), |program| {
            core::mem::ManuallyDrop::new(program).0.as_ptr()
        });
        let old = self.0.swap(new, Ordering::AcqRel);
        if old.is_null() {
            return;
        }
        // SAFETY: May be called where one may sleep. Bottom halves that are disabled hold the grace period up.
        unsafe { bindings::synchronize_net() };
        // SAFETY: The slot's reference, of which the data path has just let go.
        drop(unsafe { Program::from_raw(old) });
    }
}

impl Drop for ProgramSlot {
    fn drop(&mut self) {
        // The stack takes the program off when it unregisters the network device.
        debug_assert!(self.get().is_none());
    }
}

/// Tells a user of netlink why something was refused.
///
/// # Safety
///
/// `extack` is null, or valid during the user's request.
pub unsafe fn refuse(extack: *mut bindings::netlink_ext_ack, why: &'static CStr) {
    // SAFETY: By this function's requirement; the text is there as long as this module, whose user is being answered.
    unsafe { bindings::compsc_set_extack(extack, why.as_char_ptr()) }
}

/// Runs `work` as if the network stack polled: bottom halves disabled, and with room for what programs and
/// redirects keep for the time of a poll. For a caller that may be in process context.
pub fn in_poll_context<T>(work: impl FnOnce() -> T) -> T {
    let _bh = BottomHalvesOff::new();
    let mut context = bindings::bpf_net_context::default();
    // SAFETY: The context stays in place until it is cleared below; the task does not leave this function between.
    let set = unsafe { bindings::compsc_bpf_net_ctx_set(&mut context) };
    let result = work();
    // SAFETY: As above; null if the task had a context before.
    unsafe { bindings::compsc_bpf_net_ctx_clear(set) };
    result
}

/// What programs are told of the queue that a frame came from: registered while this exists.
pub struct RxqInfo(Pin<KBox<Opaque<bindings::xdp_rxq_info>>>);

// SAFETY: Belongs to the owner of the NAPI instance, as the receive ring does.
unsafe impl Send for RxqInfo {}

impl RxqInfo {
    /// Registers a queue whose frames are built around pages of a pool.
    ///
    /// # Safety
    ///
    /// NAPI instance and pool outlive the result, and the instance is registered.
    pub unsafe fn new(napi: &Napi, queue: u32, pool: NonNull<bindings::page_pool>) -> Result<Self> {
        let info = KBox::pin(Opaque::<bindings::xdp_rxq_info>::zeroed(), GFP_KERNEL)?;
        // SAFETY: The memory is zeroed, which is "never registered", and stays in place.
        kernel::error::to_result(unsafe {
            bindings::__xdp_rxq_info_reg(
                info.get(),
                napi.netdev(),
                queue,
                (*napi.as_raw()).napi_id,
                FRAME_SIZE,
            )
        })?;
        let info = Self(info);
        // SAFETY: Just registered, the pool is valid, and is told when it is unregistered.
        kernel::error::to_result(unsafe {
            bindings::xdp_rxq_info_reg_mem_model(
                info.0.get(),
                bindings::xdp_mem_type_MEM_TYPE_PAGE_POOL,
                pool.as_ptr().cast(),
            )
        })?;
        Ok(info)
    }
}

impl Drop for RxqInfo {
    fn drop(&mut self) {
        // SAFETY: Registered by `new`.
        unsafe { bindings::xdp_rxq_info_unreg(self.0.get()) };
    }
}

/// A received frame as programs see it. Between [`begin`](Self::begin) and one of [`skb`](Self::skb),
/// [`frame`](Self::frame), [`redirect`](Self::redirect) and [`discard`](Self::discard) it owns its pages; else it is
/// empty.
pub struct Buff(bindings::xdp_buff);

// SAFETY: Owned pages may be handed to another CPU; the queue's description goes with the ring that has this.
unsafe impl Send for Buff {}

impl Buff {
    /// An empty one for frames of a queue.
    ///
    /// # Safety
    ///
    /// `rxq` outlives the result.
    pub unsafe fn new(rxq: &RxqInfo) -> Self {
        let mut buff = bindings::xdp_buff::default();
        // SAFETY: Writes to the structure only.
        unsafe { bindings::compsc_xdp_init(&mut buff, FRAME_SIZE, rxq.0.get()) };
        Self(buff)
    }

    /// Begins a frame with `length` bytes after `headroom` bytes of a page.
    ///
    /// # Safety
    ///
    /// The page is the pool's, the device has finished with it, and it is given away. The frame is empty.
    #[inline(always)]
    pub unsafe fn begin(
        &mut self,
        pool: NonNull<bindings::page_pool>,
        page: NonNull<bindings::page>,
        headroom: u32,
        length: u32,
    ) {
        // SAFETY: By this function's requirement.
        unsafe {
            bindings::compsc_xdp_begin(&mut self.0, pool.as_ptr(), page.as_ptr(), headroom, length);
        }
    }

    /// Adds a page. Returns whether there was room for it; else it stays the caller's.
    ///
    /// # Safety
    ///
    /// As for [`begin`](Self::begin), but that the frame has begun.
    pub unsafe fn add(
        &mut self,
        pool: NonNull<bindings::page_pool>,
        page: NonNull<bindings::page>,
        headroom: u32,
        length: u32,
    ) -> bool {
        // SAFETY: By this function's requirement.
        unsafe {
            bindings::compsc_xdp_add_page(
                &mut self.0,
                pool.as_ptr(),
                page.as_ptr(),
                headroom,
                length,
            )
        }
    }

    /// Length of the frame in bytes.
    #[inline(always)]
    pub fn length(&self) -> u32 {
        // SAFETY: The structure is valid.
        unsafe { bindings::compsc_xdp_len(&self.0) }
    }

    /// Whether the frame takes several pages.
    #[inline(always)]
    pub fn has_fragments(&self) -> bool {
        // SAFETY: The structure is valid.
        unsafe { bindings::compsc_xdp_buff_has_frags(&self.0) }
    }

    /// Whether the function's switch has sent back what the function itself had sent to a group.
    ///
    /// # Safety
    ///
    /// The frame has begun, with at least an Ethernet header, and the network device is valid.
    #[inline(always)]
    pub unsafe fn is_echo(&self, netdev: *const bindings::net_device) -> bool {
        let header = self.0.data.cast::<[u8; 6]>();
        // SAFETY: By this function's requirement.
        unsafe { (*header)[0] & 1 != 0 && *header.add(1) == netdev_address(netdev) }
    }

    /// Runs a program on the frame. Returns its verdict.
    ///
    /// # Safety
    ///
    /// The frame has begun, the caller is in a poll's context, and the program is valid.
    #[inline(always)]
    pub unsafe fn run(&mut self, program: NonNull<bindings::bpf_prog>) -> u32 {
        // SAFETY: By this function's requirement.
        unsafe { bindings::compsc_bpf_prog_run_xdp(program.as_ptr(), &mut self.0) }
    }

    /// Makes a packet of the frame, with the Ethernet header in front and what programs have attached. `None`, and the
    /// frame stays, without memory.
    ///
    /// # Safety
    ///
    /// The frame has begun, and the caller is in a poll's context.
    #[inline(always)]
    pub unsafe fn skb(&mut self) -> Option<Skb> {
        // SAFETY: By this function's requirement; the packet is new.
        unsafe { Skb::from_raw(bindings::compsc_xdp_build_skb(&self.0)) }
    }

    /// Makes a frame of it that can be sent. `None`, and it stays, if a program has left no room.
    ///
    /// # Safety
    ///
    /// The frame has begun.
    #[inline(always)]
    pub unsafe fn frame(&mut self) -> Option<Frame> {
        // SAFETY: By this function's requirement.
        NonNull::new(unsafe { bindings::compsc_xdp_to_frame(&mut self.0) }).map(Frame)
    }

    /// Sends the frame where the program said. On failure it stays.
    ///
    /// # Safety
    ///
    /// The frame has begun, and the caller is in a poll's context, in which the program has just been run on the frame.
    /// The caller flushes redirects before that ends.
    #[inline(always)]
    pub unsafe fn redirect(
        &mut self,
        netdev: *mut bindings::net_device,
        program: NonNull<bindings::bpf_prog>,
    ) -> Result {
        // SAFETY: By this function's requirement.
        kernel::error::to_result(unsafe {
            bindings::xdp_do_redirect(netdev, &mut self.0, program.as_ptr())
        })
    }

    /// Gives the pages back to their pool.
    ///
    /// # Safety
    ///
    /// The frame has begun; the caller is in a poll's context, and owns the pool's NAPI instance.
    #[inline(always)]
    pub unsafe fn discard(&mut self) {
        // SAFETY: By this function's requirement.
        unsafe { bindings::xdp_return_buff(&mut self.0) }
    }
}

/// An owned frame on its way out. Dropping it returns its pages to where they are from; any context will do but one
/// with interrupts off.
#[repr(transparent)]
pub struct Frame(NonNull<bindings::xdp_frame>);

impl Frame {
    /// Takes ownership of a frame.
    ///
    /// # Safety
    ///
    /// `raw` is a valid frame that the caller owns and gives away.
    #[inline(always)]
    pub unsafe fn from_raw(raw: NonNull<bindings::xdp_frame>) -> Self {
        Self(raw)
    }

    /// Gives ownership away.
    #[inline(always)]
    pub fn into_raw(self) -> NonNull<bindings::xdp_frame> {
        core::mem::ManuallyDrop::new(self).0
    }

    /// Length of the frame in bytes.
    #[inline(always)]
    pub fn length(&self) -> u32 {
        // SAFETY: An owned frame is valid.
        unsafe { bindings::compsc_xdp_frame_len(self.0.as_ptr()) }
    }

    /// The linear part: where it is, and its length in bytes.
    #[inline(always)]
    pub fn head(&self) -> (*mut c_void, u32) {
        // SAFETY: As above.
        let frame = unsafe { self.0.as_ref() };
        (frame.data, frame.len)
    }

    /// The fragments.
    #[inline(always)]
    pub fn frags(&self) -> &[bindings::skb_frag_t] {
        let mut count = 0;
        // SAFETY: As above. The function gives that many entries of an array that belongs to the frame, or none.
        unsafe {
            let first = bindings::compsc_xdp_frame_frags(self.0.as_ptr(), &mut count);
            match NonNull::new(first.cast_mut()) {
                Some(first) => core::slice::from_raw_parts(first.as_ptr(), count as usize),
                None => &[],
            }
        }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // SAFETY: The frame is owned.
        unsafe { bindings::xdp_return_frame(self.0.as_ptr()) };
    }
}

/// Has what was redirected in this poll sent.
///
/// # Safety
///
/// The caller is in a poll's context.
pub unsafe fn flush_redirects() {
    // SAFETY: By this function's requirement.
    unsafe { bindings::xdp_do_flush() };
}

/// Tells who traces that a frame was lost with this verdict.
///
/// # Safety
///
/// Network device and program are valid.
#[cold]
pub unsafe fn exception(
    netdev: *mut bindings::net_device,
    program: NonNull<bindings::bpf_prog>,
    verdict: u32,
) {
    // SAFETY: By this function's requirement.
    unsafe {
        if verdict > bindings::xdp_action_XDP_REDIRECT {
            bindings::bpf_warn_invalid_xdp_action(netdev, program.as_ptr(), verdict);
        }
        bindings::compsc_trace_xdp_exception(netdev, program.as_ptr(), verdict);
    }
}
