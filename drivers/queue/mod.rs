// SPDX-License-Identifier: GPL-2.0

//! Descriptor queues, once for all chips and functions.
//!
//! A [`QueuePair`] is what one interrupt vector serves: a transmit ring, a receive ring and the NAPI
//! instance that polls both.
//!
//! # Who may touch what
//!
//! | data | owner |
//! |---|---|
//! | producer side of the transmit ring, for packets and frames of XDP alike | holder of the transmit queue's lock |
//! | consumer side of the transmit ring, receive ring | holder of the NAPI instance |
//! | descriptors and both sides at once ([`TxRing::relayout`], [`RxRing::relayout`]) | the restore worker, with NAPI disabled and the transmit lock held |

pub mod rx;
pub mod tx;
pub mod xdp;

pub use rx::RxRing;
pub use tx::TxRing;

use crate::{
    bindings,
    net::Skb,
    pci::Function, //
};
use compsc_regs::desc::Desc;
use core::ptr::NonNull;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    dma::{
        Coherent,
        DmaAddress, //
    },
    prelude::*,
};

/// Size of a descriptor in bytes, on both chips and in both directions.
pub const DESC_SIZE: usize = 16;

/// Descriptor memory.
pub struct Descriptors {
    memory: Coherent<[u64]>,
    base: NonNull<[u64; 2]>,
    mask: u32,
}

// SAFETY: The memory belongs to the ring, whose users follow the ownership rules above.
unsafe impl Send for Descriptors {}
// SAFETY: As above; all accesses are volatile.
unsafe impl Sync for Descriptors {}

impl Descriptors {
    /// Allocates memory for `count` descriptors, a power of two.
    pub fn new(device: &Device<Bound>, count: u32) -> Result<Self> {
        let memory = Coherent::<u64>::zeroed_slice(device, count as usize * 2, GFP_KERNEL)?;
        let base = NonNull::new(memory.as_mut_ptr().cast::<[u64; 2]>()).ok_or(ENOMEM)?;
        Ok(Self {
            memory,
            base,
            mask: count - 1,
        })
    }

    /// Address of the ring as the device sees it.
    pub fn dma_address(&self) -> DmaAddress {
        self.memory.dma_address()
    }

    /// Number of descriptors.
    #[inline(always)]
    pub fn count(&self) -> u32 {
        self.mask.wrapping_add(1)
    }

    #[inline(always)]
    fn at(&self, slot: u32) -> *mut [u64; 2] {
        // SAFETY: The mask keeps the slot inside the ring.
        unsafe { self.base.as_ptr().add((slot & self.mask) as usize) }
    }

    /// Writes a descriptor.
    #[inline(always)]
    pub fn write(&self, slot: u32, desc: Desc) {
        let at = self.at(slot).cast::<u64>();
        let [lower, upper] = desc.to_le();
        // SAFETY: `at` points to two words of the ring; the device reads them after the tail has moved.
        unsafe {
            at.write_volatile(lower);
            at.add(1).write_volatile(upper);
        }
    }

    /// Reads a descriptor.
    #[inline(always)]
    pub fn read(&self, slot: u32) -> Desc {
        let at = self.at(slot).cast::<u64>();
        // SAFETY: `at` points to two words of the ring.
        Desc::from_le(unsafe { [at.read_volatile(), at.add(1).read_volatile()] })
    }

    /// Reads the word in which the device reports; the other one is given as 0.
    #[inline(always)]
    pub fn report(&self, slot: u32) -> Desc {
        let at = self.at(slot).cast::<u64>();
        // SAFETY: `at` points to two words of the ring.
        Desc::from_le(unsafe { [0, at.add(1).read_volatile()] })
    }
}

/// Memory of a queue pair's rings. It can be had before the rings are, and before others are given up for them.
pub struct RingMemory {
    /// For the transmit ring.
    pub tx: tx::Memory,
    /// For the receive ring.
    pub rx: rx::Memory,
}

impl RingMemory {
    /// Allocates memory for rings of that many descriptors (transmit, receive), powers of two.
    pub fn new(function: Function, sizes: (u32, u32)) -> Result<Self> {
        Ok(Self {
            tx: tx::Memory::new(function, sizes.0)?,
            rx: rx::Memory::new(function, sizes.1)?,
        })
    }

    /// Whether rings in it have that many descriptors.
    pub fn fits(&self, sizes: (u32, u32)) -> bool {
        (self.tx.count(), self.rx.count()) == sizes
    }
}

/// What the data path needs of a function's registers. Implemented once per function, over the
/// recorder.
pub trait QueueRegs: Send + Sync + 'static {
    /// Whether receive reports tell of time stamps.
    const STAMPS: bool = false;

    /// Hands receive descriptors up to, and not including, `slot` to the device.
    fn write_rx_tail(&self, queue: usize, slot: u32);
    /// Hands transmit descriptors up to, and not including, `slot` to the device.
    fn write_tx_tail(&self, queue: usize, slot: u32);
    /// Masks the interrupt of a queue pair's vector.
    fn mask_queue_irq(&self, queue: usize);
    /// Unmasks it.
    fn unmask_queue_irq(&self, queue: usize);
    /// Sets the interval of a queue pair's vector in microseconds.
    fn set_queue_itr(&self, queue: usize, usecs: u32);
    /// Raises the interrupt of a queue pair's vector.
    fn kick_queue(&self, queue: usize);
}

/// Time stamps, for the few packets that get one. None of this is on the way of the others.
pub trait Stamps {
    /// Takes the stamp of a received packet out of the device, which stamps no other one until then. In nanoseconds of
    /// the clock, if it is known.
    fn received(&self) -> Option<u64>;
    /// Sees to the stamp that the sender of a packet wants. Returns what the packet's data descriptors say for it.
    fn sending(&self, skb: &mut Skb) -> u32;
    /// A packet is not sent after all, although the device was to stamp it.
    fn dropped(&self, skb: &Skb);
}

/// A network device's transmit queue as the stack sees it.
#[derive(Clone, Copy)]
pub struct StackQueue(NonNull<bindings::netdev_queue>);

// SAFETY: All operations are atomic, or need the queue's lock, which the callers say they hold.
unsafe impl Send for StackQueue {}
// SAFETY: As above.
unsafe impl Sync for StackQueue {}

impl StackQueue {
    /// Queue `index` of a network device.
    ///
    /// # Safety
    ///
    /// The device is valid as long as the result is used, and has that many queues.
    pub unsafe fn new(netdev: *mut bindings::net_device, index: u32) -> Option<Self> {
        // SAFETY: By this function's requirement.
        NonNull::new(unsafe { bindings::compsc_netdev_get_tx_queue(netdev, index) }).map(Self)
    }

    /// Runs `work` with the queue's lock held: the stack sends no packet meanwhile.
    #[inline(always)]
    pub fn with_lock<T>(self, work: impl FnOnce() -> T) -> T {
        // SAFETY: The queue is valid; the lock is released below on the same CPU.
        unsafe { bindings::compsc_netif_txq_lock_bh(self.0.as_ptr()) };
        let result = work();
        // SAFETY: Taken above.
        unsafe { bindings::compsc_netif_txq_unlock_bh(self.0.as_ptr()) };
        result
    }

    /// Tells the stack to send no more packets.
    #[inline(always)]
    pub fn stop(self) {
        // SAFETY: The queue is valid.
        unsafe { bindings::compsc_netif_tx_stop_queue(self.0.as_ptr()) }
    }

    /// Allows packets again, from within the transmit function.
    #[inline(always)]
    pub fn start(self) {
        // SAFETY: The queue is valid.
        unsafe { bindings::compsc_netif_tx_start_queue(self.0.as_ptr()) }
    }

    /// Allows packets again and has the waiting ones sent.
    #[inline(always)]
    pub fn wake(self) {
        // SAFETY: The queue is valid.
        unsafe { bindings::netif_tx_wake_queue(self.0.as_ptr()) }
    }

    /// Whether the driver stopped the queue.
    #[inline(always)]
    pub fn is_stopped(self) -> bool {
        // SAFETY: The queue is valid.
        unsafe { bindings::compsc_netif_tx_queue_stopped(self.0.as_ptr()) }
    }

    /// Accounts bytes handed to the device. Returns whether the doorbell must be rung now.
    #[inline(always)]
    fn sent(self, bytes: u32) -> bool {
        // SAFETY: The queue is valid and its lock held.
        unsafe { bindings::compsc_netdev_tx_sent_queue(self.0.as_ptr(), bytes) }
    }

    /// Accounts packets that the device has sent.
    #[inline(always)]
    fn completed(self, packets: u32, bytes: u32) {
        // SAFETY: The queue is valid.
        unsafe { bindings::compsc_netdev_tx_completed_queue(self.0.as_ptr(), packets, bytes) }
    }

    /// Forgets all accounting, for an emptied ring.
    fn reset(self) {
        // SAFETY: The queue is valid, and nothing is in flight.
        unsafe { bindings::compsc_netdev_tx_reset_queue(self.0.as_ptr()) }
    }

    /// Restarts the stack's transmit watchdog: time spent in a restore is not a hang.
    pub fn touch_watchdog(self) {
        // SAFETY: The queue is valid and its lock held.
        unsafe { bindings::compsc_txq_trans_cond_update(self.0.as_ptr()) }
    }
}
