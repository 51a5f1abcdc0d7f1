// SPDX-License-Identifier: GPL-2.0

//! XDP: attaching programs, running them in the poll, and frames that come from other interfaces.
//!
//! # Locks and order
//!
//! The program is replaced under RTNL, and read once per poll. Whoever runs it has bottom halves disabled, which the
//! replacement waits for before it lets go of the old program. Rings, buffers and link stay as they are.
//!
//! Frames that a program sends back, and those of other interfaces, are put into the transmit rings under the
//! transmit queue's lock, the former inside the section of their poll, the latter in one of their own. So the restore
//! excludes both as it does packets: it closes the gate, ends the polls, and takes each of the locks once. What is
//! in the ring then is laid out again; frames of other interfaces are refused until the gate is open, and their
//! senders count them. What the old device had received goes through the program in the restore worker, which owns the ring
//! and puts there what is sent back, to be laid out with the rest.

use super::{
    Adapter,
    Chip,
    QueuePair, //
};
use crate::{
    bindings,
    net::xdp::{
        self,
        Program, //
    },
    queue::{
        rx::{
            Cleaned,
            Context,
            BUFFER_LEN, //
        },
        xdp::Running,
        RxRing,
        TxRing, //
    },
};
use compsc_core::gate::{
    Entry,
    Exit, //
};
use core::ptr::NonNull;
use kernel::{
    error::from_result,
    prelude::*, //
};

/// What programs can rely on.
pub(super) const FEATURES: u32 = bindings::netdev_xdp_act_NETDEV_XDP_ACT_BASIC
    | bindings::netdev_xdp_act_NETDEV_XDP_ACT_REDIRECT
    | bindings::netdev_xdp_act_NETDEV_XDP_ACT_NDO_XMIT
    | bindings::netdev_xdp_act_NETDEV_XDP_ACT_RX_SG
    | bindings::netdev_xdp_act_NETDEV_XDP_ACT_NDO_XMIT_SG;

impl<C: Chip> Adapter<C> {
    /// Whether frames of `bytes` bytes, check sequence included, can be given to a program.
    fn suits(program: Option<NonNull<bindings::bpf_prog>>, bytes: u32) -> bool {
        bytes - bindings::ETH_FCS_LEN <= BUFFER_LEN
            // SAFETY: The callers hold RTNL, or have been given the program.
            || program.is_none_or(|program| unsafe { xdp::takes_fragments(program) })
    }

    /// Whether the attached program allows frames of `bytes` bytes, check sequence included. The caller holds RTNL.
    pub(super) fn program_allows(&self, bytes: u32) -> bool {
        Self::suits(self.program.get(), bytes)
    }

    pub(super) extern "C" fn ndo_bpf(
        dev: *mut bindings::net_device,
        bpf: *mut bindings::netdev_bpf,
    ) -> c_int {
        // SAFETY: Called for a registered device of this driver, with a valid structure.
        let (this, bpf) = unsafe { (Self::of(dev), &*bpf) };
        from_result(|| {
            if bpf.command != bindings::bpf_netdev_command_XDP_SETUP_PROG {
                return Err(EINVAL);
            }
            // SAFETY: The command tells which member of the union it is.
            let setup = unsafe { bpf.__bindgen_anon_1.__bindgen_anon_1.as_ref() };
            let max_frame = this.control.lock().filters.max_frame();
            if !Self::suits(NonNull::new(setup.prog), max_frame) {
                // SAFETY: The structure is the request's.
                unsafe {
                    xdp::refuse(
                        setup.extack,
                        c"frames of this MTU take several buffers, which the program does not support",
                    );
                }
                return Err(EOPNOTSUPP);
            }
            // SAFETY: The stack gives away a reference, unless this fails.
            let program = unsafe { Program::from_raw(setup.prog) };
            this.program.replace(program);
            Ok(0)
        })
    }

    pub(super) extern "C" fn ndo_xdp_xmit(
        dev: *mut bindings::net_device,
        count: c_int,
        frames: *mut *mut bindings::xdp_frame,
        flags: u32,
    ) -> c_int {
        // SAFETY: As for `ndo_bpf`.
        let this = unsafe { Self::of(dev) };
        from_result(|| {
            if flags & !bindings::XDP_XMIT_FLUSH != 0 {
                return Err(EINVAL);
            }
            // Without a link the ring would fill with what nobody wants any more when there is one.
            if !this.carrier() {
                return Err(ENETDOWN);
            }
            let pairs = this.active();
            // SAFETY: Bottom halves are disabled: the task stays on its CPU.
            let cpu = unsafe { bindings::compsc_smp_processor_id() } as usize;
            let Some(pair) = pairs.get(cpu % pairs.len().max(1)) else {
                return Err(ENETDOWN);
            };
            // SAFETY: The caller hands in an array of that many frames.
            let frames = unsafe { core::slice::from_raw_parts(frames, count as usize) };
            let flush = flags & bindings::XDP_XMIT_FLUSH != 0;
            // SAFETY: The caller gives away as many as are said to be taken.
            let taken = unsafe { pair.xmit_frames(frames, flush) }?;
            // CAST: At most `count`.
            Ok(taken as i32)
        })
    }
}

impl<C: Chip> QueuePair<C> {
    /// Sends frames of another interface. Returns how many of them, the first ones, are no longer the caller's.
    ///
    /// # Safety
    ///
    /// The frames are valid, and the caller's to give away. Bottom halves are disabled.
    unsafe fn xmit_frames(
        &self,
        frames: &[*mut bindings::xdp_frame],
        flush: bool,
    ) -> Result<usize> {
        let adapter = self.adapter();
        self.stack().ok_or(ENETDOWN)?.with_lock(|| {
            // SAFETY: The transmit lock keeps the ring; only its shared side is used.
            let Some(tx) = (unsafe { (*self.tx.as_ptr()).as_ref() }) else {
                return Err(ENETDOWN);
            };
            // Out of reach, or its queues are being exchanged: what the stack would not send either. Looked at under the
            // lock with which new rings are put in place.
            // SAFETY: The device is valid.
            if !unsafe { bindings::compsc_netif_device_present(adapter.netdev.as_ptr()) } {
                return Err(ENETDOWN);
            }
            let Entry::Pass(ticket) = adapter.gate.enter() else {
                self.tx_stats.xdp_xmit_errors.add(frames.len() as u64);
                // Frames do not stop coming: an attempt that waits for its time must keep it.
                adapter.restore_work.queue(&adapter.queue, 0);
                return Err(ENETDOWN);
            };
            // SAFETY: The lock is held inside a section; the rest is this function's requirement.
            let taken = unsafe { tx.xmit_frames(frames) };
            if flush {
                // SAFETY: As above.
                unsafe { tx.ring_doorbell(&adapter.chip) };
            }
            self.tx_stats.xdp_xmit.add(taken as u64);
            self.tx_stats
                .xdp_xmit_errors
                .add((frames.len() - taken) as u64);
            if adapter.gate.exit(ticket) == Exit::Moved {
                adapter.ask_for_restore();
            }
            Ok(taken)
        })
    }

    /// Receives through a program.
    ///
    /// # Safety
    ///
    /// As for [`RxRing::clean`]; and the rings are this pair's, inside a section or, if `cx` has no registers, in the
    /// restore worker. The program was read from its slot in this poll's context.
    #[inline(never)]
    pub(super) unsafe fn receive_through(
        &self,
        program: NonNull<bindings::bpf_prog>,
        tx: &TxRing,
        rx: &mut RxRing,
        cx: &Context<'_, C>,
        budget: u32,
    ) -> Cleaned {
        let adapter = self.adapter();
        // SAFETY: By this function's requirement.
        unsafe {
            let mut running = Running::new(program, adapter.netdev.as_ptr(), cx.regs, tx);
            let cleaned = rx.clean(cx, &mut running, || adapter.gate.dummy_writes(), budget);
            running.finish(cx.stats);
            cleaned
        }
    }
}
