// SPDX-License-Identifier: GPL-2.0

//! What becomes of received frames: the receive loop ([`RxRing::clean`](super::RxRing::clean)) is compiled once for
//! each [`Hook`].

use super::{
    rx,
    QueueRegs,
    TxRing, //
};
use crate::{
    bindings,
    net::{
        xdp,
        xdp::Buff,
        Skb, //
    },
};
use core::ptr::NonNull;

/// Frames that are put into the transmit ring together.
const BULK: usize = 16;

/// Length in bytes from which on the hardware pads a frame by itself.
pub const MIN_FRAME: u32 = 17;

/// What looks at a frame before the stack does.
pub trait Hook {
    /// Whether there is anything. If not, packet heads are built around pages as they come.
    const ACTIVE: bool;

    /// Decides about a complete frame, which is empty afterwards. What the stack shall have is returned.
    ///
    /// # Safety
    ///
    /// The frame has begun. The caller is in a poll's context and owns the NAPI instance of the frame's queue.
    unsafe fn decide(&mut self, stats: &rx::Stats, buff: &mut Buff) -> Option<Skb>;
}

/// No program: no frame begins, so none is decided about.
pub struct NoProgram;

impl Hook for NoProgram {
    const ACTIVE: bool = false;

    unsafe fn decide(&mut self, _stats: &rx::Stats, _buff: &mut Buff) -> Option<Skb> {
        None
    }
}

/// A program for the time of one poll.
pub struct Running<'a, R: QueueRegs> {
    program: NonNull<bindings::bpf_prog>,
    fragments: bool,
    netdev: *mut bindings::net_device,
    /// Registers for the tail; `None` while the device must be left alone, when what is sent waits in the ring.
    regs: Option<&'a R>,
    tx: &'a TxRing,
    /// Frames to be sent back.
    bulk: [*mut bindings::xdp_frame; BULK],
    count: usize,
    /// Frames were put into the ring.
    sent: bool,
    /// Frames wait for a flush of redirects.
    redirected: bool,
}

impl<'a, R: QueueRegs> Running<'a, R> {
    /// Prepares a poll. What the program sends back goes out by `tx`.
    ///
    /// # Safety
    ///
    /// Program and network device are valid until [`finish`](Self::finish), which the caller calls. The caller is in a
    /// section of the gate that keeps the ring, or with `regs` being `None` owns it.
    #[inline(always)]
    pub unsafe fn new(
        program: NonNull<bindings::bpf_prog>,
        netdev: *mut bindings::net_device,
        regs: Option<&'a R>,
        tx: &'a TxRing,
    ) -> Self {
        Self {
            program,
            // SAFETY: By this function's requirement.
            fragments: unsafe { xdp::takes_fragments(program) },
            netdev,
            regs,
            tx,
            bulk: [core::ptr::null_mut(); BULK],
            count: 0,
            sent: false,
            redirected: false,
        }
    }

    /// Puts the collected frames into the transmit ring, and at the end of a poll tells the device.
    fn flush(&mut self, stats: &rx::Stats, end: bool) {
        let frames = self.bulk.get(..self.count).unwrap_or_default();
        let taken = self.tx.stack().with_lock(|| {
            // SAFETY: The transmit queue's lock is held, the frames are owned, and the caller of `new` has seen to the
            // rest.
            let taken = unsafe { self.tx.xmit_frames(frames) };
            self.sent |= taken != 0;
            if let Some(regs) = self.regs.filter(|_| end && self.sent) {
                // SAFETY: As above.
                unsafe { self.tx.ring_doorbell(regs) };
            }
            taken
        });
        stats.xdp_tx.add(taken as u64);
        for raw in frames
            .iter()
            .skip(taken)
            .filter_map(|raw| NonNull::new(*raw))
        {
            stats.xdp_tx_errors.add(1);
            // SAFETY: The ring has not taken the frame; device and program are valid.
            unsafe {
                drop(xdp::Frame::from_raw(raw));
                xdp::exception(self.netdev, self.program, bindings::xdp_action_XDP_TX);
            }
        }
        self.count = 0;
    }

    /// Ends the poll: what was sent or redirected goes out.
    ///
    /// # Safety
    ///
    /// The caller is in the poll's context still.
    #[inline(always)]
    pub unsafe fn finish(mut self, stats: &rx::Stats) {
        if self.count != 0 || self.sent {
            self.flush(stats, true);
        }
        if self.redirected {
            // SAFETY: By this function's requirement.
            unsafe { xdp::flush_redirects() };
        }
    }

    /// Keeps a frame for the next flush.
    #[inline(always)]
    fn send_back(&mut self, stats: &rx::Stats, frame: xdp::Frame) {
        if self.count == BULK {
            self.flush(stats, false);
        }
        if let Some(place) = self.bulk.get_mut(self.count) {
            *place = frame.into_raw().as_ptr();
            self.count += 1;
        }
    }
}

impl<R: QueueRegs> Hook for Running<'_, R> {
    const ACTIVE: bool = true;

    #[inline(always)]
    unsafe fn decide(&mut self, stats: &rx::Stats, buff: &mut Buff) -> Option<Skb> {
        // SAFETY: By this function's requirement, and that of `new`, for all of this function.
        unsafe {
            if buff.is_echo(self.netdev) {
                buff.discard();
                return None;
            }
            // A frame that was longer than the MTU allowed when the program was attached.
            if buff.has_fragments() && !self.fragments {
                stats.xdp_too_long.add(1);
                buff.discard();
                return None;
            }
            let verdict = buff.run(self.program);
            match verdict {
                bindings::xdp_action_XDP_PASS => {
                    let skb = buff.skb();
                    if skb.is_some() {
                        stats.xdp_pass.add(1);
                    } else {
                        stats.alloc_failed.add(1);
                        buff.discard();
                    }
                    return skb;
                }
                bindings::xdp_action_XDP_DROP => {
                    stats.xdp_drop.add(1);
                    buff.discard();
                    return None;
                }
                bindings::xdp_action_XDP_TX => {
                    if buff.length() >= MIN_FRAME {
                        if let Some(frame) = buff.frame() {
                            self.send_back(stats, frame);
                            return None;
                        }
                    }
                    stats.xdp_tx_errors.add(1);
                }
                bindings::xdp_action_XDP_REDIRECT => {
                    // One that fails may have reached some of several targets.
                    self.redirected = true;
                    if buff.redirect(self.netdev, self.program).is_ok() {
                        stats.xdp_redirect.add(1);
                        return None;
                    }
                    stats.xdp_redirect_errors.add(1);
                }
                _ => stats.xdp_aborted.add(1),
            }
            xdp::exception(self.netdev, self.program, verdict);
            buff.discard();
            None
        }
    }
}
