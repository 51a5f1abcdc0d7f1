// SPDX-License-Identifier: GPL-2.0

//! The data path: interrupts, NAPI, transmit.

use super::{
    Adapter,
    Chip,
    QueuePair, //
};
use crate::{
    bindings,
    net::Skb,
    queue::{
        rx::Context,
        xdp::NoProgram, //
    },
    sync::Word32, //
};
use compsc_core::gate::{
    Entry,
    Exit, //
};
use kernel::prelude::*;

/// Interval of queue interrupts to start with, in microseconds.
pub(super) const DEFAULT_USECS: u32 = 50;

/// Transmitted packets that one poll takes back.
const TX_BUDGET: u32 = 256;

/// Bytes taken back by one poll from which on the function is sending in bulk.
const BULK_BYTES: u64 = 8192;

/// Packets per tick of the kernel's clock, of so many per second, that a CPU moves: from here on it is no longer served
/// for latency, from here on they are received in bulk.
const MANY_PACKETS: u32 = 40_000 / bindings::CONFIG_HZ;
const BULK_PACKETS: u32 = 60_000 / bindings::CONFIG_HZ;

/// Interval in microseconds that suits a queue whose CPU moves this many packets per tick of the kernel's clock, and which has
/// taken back this many sent bytes in a poll: short for a few packets (latency), long for many (throughput).
///
/// The packets of one poll do not tell: where a flood is spread over many queues, each poll finds a few only, because
/// the interval is short.
const fn adaptive_usecs(packets: u32, sent_bytes: u64) -> u32 {
    match packets {
        // Acknowledgements of a stream come one by one and are in no hurry.
        _ if sent_bytes >= BULK_BYTES => 122,
        0..MANY_PACKETS => 14,
        MANY_PACKETS..BULK_PACKETS => 50,
        _ => 122,
    }
}

/// What a queue moves per tick of the kernel's clock. Written by the owner of the NAPI instance.
#[derive(Default)]
pub(super) struct Rate {
    /// The tick of the last look, and how many packets had been received and sent until then.
    tick: Word32,
    received: Word32,
    sent: Word32,
    /// Packets per tick between the last two looks.
    own: Word32,
    /// Packets per tick of a CPU, as of the last look.
    cpu: Word32,
}

impl<C: Chip> Adapter<C> {
    /// Packets per tick that a CPU moves: those of all queues, evenly spread.
    #[cold]
    fn cpu_rate(&self, tick: u32) -> u32 {
        let pairs = self.active();
        let rates = pairs.iter().map(|pair| {
            // One that has not been polled of late moves next to nothing.
            let recent = tick.wrapping_sub(pair.rate.tick.get()) <= 2;
            if recent {
                pair.rate.own.get()
            } else {
                0
            }
        });
        rates.sum::<u32>() / pairs.len().min(super::online_cpus()).max(1) as u32
    }
}

impl<C: Chip> QueuePair<C> {
    /// What receiving needs; `chip` is `None` while the device must be left alone.
    #[inline(always)]
    pub(super) fn receive_context<'a>(&'a self, chip: Option<&'a C>) -> Context<'a, C> {
        // SAFETY: The device is valid; the word is read as it stands.
        let features =
            unsafe { (&raw const (*self.adapter().netdev.as_ptr()).features).read_volatile() };
        Context {
            regs: chip,
            napi: &self.napi,
            stats: &self.rx_stats,
            checksum: features & (1 << bindings::NETIF_F_RXCSUM_BIT) != 0,
            hash: C::RX_HASH && features & (1 << bindings::NETIF_F_RXHASH_BIT) != 0,
            // A PF may put its VF into a VLAN that the VF does not know of.
            vlans: (!C::PHYSICAL).then_some(&self.adapter().vlans),
            stamps: self.adapter(),
            frame_errors: C::RX_FRAME_ERRORS,
            checksum_errors: C::RX_CHECKSUM_ERRORS,
        }
    }
}

impl<C: Chip> Adapter<C> {
    /// Handler of a queue pair's vector.
    pub(super) extern "C" fn queue_irq(_irq: c_int, data: *mut c_void) -> bindings::irqreturn_t {
        // SAFETY: The handler was installed with a queue pair.
        let pair = unsafe { &*data.cast::<QueuePair<C>>() };
        // Not a section: whatever device this reaches, the restore masks and unmasks anew.
        pair.adapter().chip.mask_queue_irq(pair.index);
        pair.napi.schedule_from_irq();
        bindings::irqreturn::IRQ_HANDLED
    }

    /// Handler of the last vector: mailbox, link, and the host's wake-up after a migration.
    pub(super) extern "C" fn other_irq(_irq: c_int, data: *mut c_void) -> bindings::irqreturn_t {
        // SAFETY: The handler was installed with an adapter.
        let this = unsafe { &*data.cast::<Self>() };
        if C::PHYSICAL {
            this.events_work.requeue(&this.queue, 0);
            return bindings::irqreturn::IRQ_HANDLED;
        }
        this.service_work.requeue(&this.queue, 0);
        // An emulator that never forgets a vector assignment may still send another driver's queue
        // interrupts here.
        for pair in &this.queues {
            pair.napi.schedule_from_irq();
        }
        bindings::irqreturn::IRQ_HANDLED
    }

    /// NAPI poll function.
    pub(super) extern "C" fn poll(napi: *mut bindings::napi_struct, budget: c_int) -> c_int {
        // SAFETY: The instance is the first part of a pinned queue pair.
        let pair =
            unsafe { &*kernel::container_of!(napi.cast::<crate::net::Napi>(), QueuePair<C>, napi) };
        // CAST: A budget is not negative, and work not larger than it.
        pair.poll(budget as u32) as c_int
    }

    #[cold]
    pub(super) fn ask_for_restore(&self) {
        self.restore_work.requeue(&self.queue, 0);
    }
}

impl<C: Chip> QueuePair<C> {
    #[inline(always)]
    fn poll(&self, budget: u32) -> u32 {
        let adapter = self.adapter();
        let Entry::Pass(ticket) = adapter.gate.enter() else {
            adapter.ask_for_restore();
            self.napi.complete(0);
            return 0;
        };
        // SAFETY: NAPI polls: this is the owner of the instance. The ring exists while NAPI is enabled,
        // and is not replaced meanwhile.
        let (tx, rx) = unsafe { ((*self.tx.as_ptr()).as_ref(), self.rx.get_mut()) };
        let (Some(tx), Some(rx)) = (tx, rx) else {
            self.napi.complete(0);
            return 0;
        };
        if budget == 0 {
            // Netpoll: transmit only, and maybe with interrupts off.
            // SAFETY: As above.
            unsafe { tx.clean_packets(&self.tx_stats, TX_BUDGET) };
            return 0;
        }
        let sent_before = self.tx_stats.bytes.get();
        // CAST: A budget is small.
        // SAFETY: As above.
        let tx_done = unsafe { tx.clean(&self.tx_stats, TX_BUDGET, budget as i32) };
        let cx = self.receive_context(Some(&adapter.chip));
        // SAFETY: As above; the program is read once per poll.
        let cleaned = unsafe {
            match adapter.program.get() {
                None => rx.clean(&cx, &mut NoProgram, || adapter.gate.dummy_writes(), budget),
                Some(program) => self.receive_through(program, tx, rx, &cx, budget),
            }
        };
        // A ring that ran dry is left to the service worker's kick: polling would not make memory.
        let filled = if cleaned.packets != 0 || !cleaned.filled || rx.wants_buffers() {
            rx.fill(&cx) || rx.is_dry()
        } else {
            true
        };

        if adapter.gate.exit(ticket) == Exit::Moved {
            adapter.ask_for_restore();
            // Unless there is more to do, when the next poll finds the gate stale.
            if cleaned.packets < budget {
                self.napi.complete(cleaned.packets);
            }
            return cleaned.packets;
        }
        if cleaned.packets == budget || !tx_done || !filled {
            return budget;
        }
        if self.napi.complete(cleaned.packets) {
            if adapter.adaptive.get() != 0 {
                let sent = self.tx_stats.bytes.get().wrapping_sub(sent_before);
                let usecs = adaptive_usecs(self.look_at_rate(), sent);
                if usecs != self.itr.get() {
                    self.itr.set(usecs);
                    adapter.chip.set_queue_itr(self.index, usecs);
                }
            }
            adapter.chip.unmask_queue_irq(self.index);
        }
        cleaned.packets
    }

    /// Packets per tick that this queue's CPU moves, as far as is known.
    #[inline(always)]
    fn look_at_rate(&self) -> u32 {
        // CAST: Differences count.
        // SAFETY: The kernel's clock is a word that may be read at any time.
        let tick = unsafe { (&raw const bindings::jiffies).read_volatile() } as u32;
        let elapsed = tick.wrapping_sub(self.rate.tick.get());
        if elapsed != 0 {
            // CAST: As above.
            let (received, sent) = (
                self.rx_stats.packets.get() as u32,
                self.tx_stats.packets.get() as u32,
            );
            let new_received = received.wrapping_sub(self.rate.received.get());
            let new_sent = sent.wrapping_sub(self.rate.sent.get());
            // Not the sum: of a request and its answer, one packet counts. And small packets sent are never bulk: what is
            // freed at once beyond NAPI's cache of packets goes the long way through the allocator.
            let moved = (new_received / elapsed).max((new_sent / elapsed).min(MANY_PACKETS));
            self.rate.own.set(moved);
            self.rate.received.set(received);
            self.rate.sent.set(sent);
            self.rate.tick.set(tick);
            self.rate.cpu.set(self.adapter().cpu_rate(tick));
        }
        self.rate.cpu.get()
    }

    /// Transmits a packet, or gives it back when the stack shall keep it.
    ///
    /// # Safety
    ///
    /// The caller holds the transmit queue's lock.
    #[inline(always)]
    pub(super) unsafe fn xmit(&self, skb: Skb) -> core::result::Result<(), Skb> {
        let adapter = self.adapter();
        // SAFETY: The transmit lock keeps the ring; only its shared side is used.
        let Some(tx) = (unsafe { (*self.tx.as_ptr()).as_ref() }) else {
            self.tx_stats.dropped.add(1);
            return Ok(());
        };
        let Entry::Pass(ticket) = adapter.gate.enter() else {
            tx.stack().stop();
            adapter.ask_for_restore();
            return Err(skb);
        };
        // SAFETY: By this function's requirement.
        let result = unsafe { tx.xmit(&adapter.chip, &self.tx_stats, adapter, skb) };
        if adapter.gate.exit(ticket) == Exit::Moved {
            adapter.ask_for_restore();
        }
        result
    }
}
