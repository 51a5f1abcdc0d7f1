// SPDX-License-Identifier: GPL-2.0

//! A network function and its driver: everything that does not depend on the chip.
//!
//! A driver module implements [`Chip`] for its function and calls [`Adapter::probe`]. The adapter owns the
//! network device, the queues, the shared region and the restore.
//!
//! # Locks, outermost first
//!
//! 1. RTNL, taken by the network stack around most operations.
//! 2. [`Adapter::control`]: all slow-path state and all register accesses but those of the data path.
//!    The workers take it without RTNL and never take RTNL under it.
//! 3. The network device's instance lock, inside `napi_enable()` and `napi_disable()`.
//! 4. The transmit queue's lock. Two of them are never held at once.
//! 5. The clock's lock ([`ptp`]), with interrupts off. Nothing is waited for under it.
//!
//! # Sections
//!
//! The data path touches rings and registers inside sections of the gate ([`compsc_core::gate`]). A
//! section that finds the gate stale does nothing but ask for the restore worker; one that finds it
//! moved on exit has told the old device something, which the restore replays from the log and the
//! rings. The slow path holds the control lock, which the restore takes too, and runs a pending restore
//! first.

pub(crate) mod debugfs;
pub mod devlink;
pub mod ethtool;
pub mod filters;
mod ops;
mod poll;
pub mod port;
pub mod ptp;
mod restore;
pub mod sriov;
pub mod stats;
pub mod sysfs;
mod xdp;

use crate::{
    bindings,
    irq::{
        Handler,
        Vectors, //
    },
    mmio::Bar,
    net::{
        xdp::ProgramSlot,
        EtherDev,
        Napi, //
    },
    pci,
    queue::{
        QueueRegs,
        RingMemory,
        RxRing,
        StackQueue,
        TxRing, //
    },
    region::{
        Offer,
        PostedBuffers,
        RegionLog,
        RegionWord,
        SharedRegion,
        MAX_RING, //
    },
    sync::{
        Owned,
        Word32, //
    },
    work, //
};
use compsc_core::{
    gate::{
        Entry,
        Exit,
        GuestGate,
        Pending, //
    },
    log::Recorder,
    region::{
        DeviceState,
        QueueEntry,
        QueueKind, //
    },
    regs::Map,
    ring::Ring, //
};
use compsc_regs::clock::Stamping;
use core::marker::PhantomPinned;
use filters::Filters;
use kernel::{
    new_mutex,
    prelude::*,
    str::{
        CStr,
        CString, //
    },
    sync::{
        Arc,
        Mutex, //
    },
    time::{
        Delta,
        Instant,
        Monotonic, //
    },
};
use stats::Counters;

/// Whether register writes are recorded. Compiled out for one thing only: to measure what recording costs.
pub const RECORD: bool = !cfg!(COMPSC_NO_RECORD);

/// A function's registers: the recorder over its BAR, with the log in the shared region.
pub type Hw<M> = Recorder<M, Bar, RegionLog, RECORD>;

/// Descriptors per ring unless changed by `ethtool -G`.
pub const DEFAULT_RING: u32 = 256;

/// Milliseconds between two looks at link, counters and announcement.
const SERVICE_MS: u32 = 2000;

/// Milliseconds between two looks at a link that is being negotiated.
const LINK_LOOK_MS: u32 = 100;

/// Moderation of queue interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moderation {
    /// By the load of each poll.
    Adaptive,
    /// Fixed interval in microseconds.
    Fixed(u32),
}

/// What the driver of one function adds to an adapter. All methods but those of [`QueueRegs`] are called
/// under the control lock, and may sleep.
pub trait Chip: QueueRegs + Sized {
    /// Register map.
    type Map: Map;
    /// Driver name.
    const NAME: &'static CStr;
    /// What `dmesg` calls the function.
    const DESCRIPTION: &'static str;
    /// BAR that holds the registers.
    const BAR: u32 = 0;
    /// Queue pairs, at most. Each has a vector of its own.
    const QUEUE_PAIRS: usize;
    /// Vectors.
    const VECTORS: u32;
    /// Vector of everything but queues: mailbox, link, and the host's wake-up.
    const OTHER_VECTOR: u32;
    /// Whether bringing the interface up begins with a reset. Without it the function serves others meanwhile.
    const RESET_ON_UP: bool = true;
    /// Whether the function has a port and virtual functions of its own: [`port`](Self::port), [`host`](Self::host),
    /// and an other vector that tells of more than the link ([`events`](Self::events)).
    const PHYSICAL: bool = false;
    /// Milliseconds after a reset in which a link that is down says nothing: it is being negotiated.
    const LINK_MS: u64 = 0;
    /// Largest MTU in bytes.
    const MAX_MTU: u32;
    /// Most unicast addresses besides the function's own, at most [`filters::MAX_UNICAST`].
    const MAX_UNICAST: usize;
    /// Most multicast hashes.
    const MAX_HASHES: usize;
    /// Largest interrupt interval in microseconds.
    const MAX_USECS: u32;
    /// Whether receive reports hold the hash by which packets are distributed over queues.
    const RX_HASH: bool = false;
    /// Receive report: bits that tell of a damaged frame.
    const RX_FRAME_ERRORS: u32;
    /// Receive report: bits that tell of a wrong checksum.
    const RX_CHECKSUM_ERRORS: u32;
    /// Self-emulated counters.
    const COUNTERS: &'static [stats::CounterDesc<Self>];

    /// Takes possession of the registers.
    fn new(function: pci::Function, hw: Hw<Self::Map>) -> Result<Self>;

    /// The registers, for replay and dumps.
    fn hw(&self) -> &Hw<Self::Map>;

    /// Resets the function and shakes hands with the PF. `keep_log` tells that a replay follows.
    /// Returns the MAC address that the PF assigned, if any.
    fn reset(&self, keep_log: bool) -> Result<Option<[u8; 6]>>;

    /// Resets the function and no more: it does no DMA and raises no interrupt until the replay that follows.
    fn silence(&self);

    /// Duration of the mailbox part of the last [`reset`](Self::reset) in nanoseconds.
    fn mailbox_ns(&self) -> u64;

    /// Vector of a queue pair.
    fn queue_vector(pair: usize) -> u32 {
        // CAST: Few queues.
        pair as u32
    }

    /// Queue pairs that can be used as things are, at most [`QUEUE_PAIRS`](Self::QUEUE_PAIRS).
    fn queue_pairs(&self) -> usize {
        Self::QUEUE_PAIRS
    }

    /// Distributes what is received over this many queue pairs, which are configured next.
    fn use_queue_pairs(&self, _pairs: usize) {}

    /// The function works again after a reset: others that depend on it are told.
    fn ready(&self) {}

    /// Deals with what the other vector tells of.
    fn events(&self) -> Events {
        Events::default()
    }

    /// Reads what has to be read from time to time, besides [`COUNTERS`](Self::COUNTERS).
    fn refresh(&self) {}

    /// What a port counts, from the values of [`COUNTERS`](Self::COUNTERS).
    fn port_stats(_value: impl Fn(usize) -> u64) -> stats::PortStats {
        stats::PortStats::default()
    }

    /// What a function with virtual functions can do.
    fn host(&self) -> Option<&dyn sriov::Host> {
        None
    }

    /// The function's clock.
    fn timer(&self) -> Option<&dyn ptp::Timer> {
        None
    }

    /// What a function with a port of its own can do.
    fn port(&self) -> Option<&dyn port::Port> {
        None
    }

    /// Asks the PF for all filters again, after a reset in which it assigned this MAC address.
    fn request_filters(&self, filters: &Filters, assigned: Option<[u8; 6]>) -> Result;

    /// Asks the PF for a MAC address.
    fn request_mac(&self, mac: [u8; 6]) -> Result;

    /// Asks the PF for a VLAN, or to drop it.
    fn request_vlan(&self, vid: u16, add: bool) -> Result;

    /// Asks the PF for multicast, unicast and promiscuity.
    fn request_rx_mode(&self, filters: &Filters) -> Result;

    /// Asks the PF for frames of this many bytes, with headers, VLAN tag and frame check sequence.
    fn request_max_frame(&self, bytes: u32) -> Result;

    /// Sets up vectors, masked.
    fn configure_irqs(&self);

    /// Sets up a queue pair, disabled.
    fn configure_queue(&self, queue: usize, tx: &TxRing, rx: &RxRing, rx_buffer: u32);

    /// Where the device will begin in the transmit and the receive ring.
    fn heads(&self, queue: usize) -> (u32, u32);

    /// Enables or disables a queue pair, and waits until the device has.
    fn enable_queue(&self, queue: usize, on: bool) -> Result;

    /// Waits until the device has taken note of the enables that a replay wrote.
    fn wait_queue_enabled(&self, queue: usize) -> Result;

    /// Unmasks all vectors.
    fn unmask_all(&self);

    /// Masks all vectors.
    fn mask_all(&self);

    /// Masks the vectors of an interface that goes down.
    fn mask_queues(&self) {
        self.mask_all();
    }

    /// Raises all vectors.
    fn kick_all(&self);

    /// Link as the function sees it: `Some(Mb/s, full duplex)` when up.
    fn link(&self) -> Option<(u32, bool)>;

    /// Whether the PF was reset, or told this function to reset, since the last look.
    fn reset_asked(&self) -> bool;
}

/// What [`Chip::events`] found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Events {
    /// Link or device have changed: the service worker looks.
    pub service: bool,
    /// Milliseconds after which to look again.
    pub again: Option<u32>,
}

/// One vector's queues.
pub(crate) struct QueuePair<C: Chip> {
    napi: Napi,
    adapter: *const Adapter<C>,
    index: usize,
    /// Exists while the interface is up. Its two sides follow the rules of [`TxRing`]; the option itself
    /// changes under the control lock with NAPI disabled and the transmit lock held.
    tx: Owned<Option<TxRing>>,
    /// Owned by whoever holds the NAPI instance.
    rx: Owned<Option<RxRing>>,
    pub(crate) tx_stats: crate::queue::tx::Stats,
    pub(crate) rx_stats: crate::queue::rx::Stats,
    /// Interrupt interval in microseconds that the device has.
    itr: Word32,
    rate: poll::Rate,
    _pin: PhantomPinned,
}

// SAFETY: The members are shared by the rules given above; the pointer is to the pinned owner.
unsafe impl<C: Chip> Send for QueuePair<C> {}
// SAFETY: As above.
unsafe impl<C: Chip> Sync for QueuePair<C> {}

impl<C: Chip> QueuePair<C> {
    /// Number of the receive queue's entry in the shared region.
    fn rx_entry(&self) -> u32 {
        // CAST: Few queues.
        2 * self.index as u32
    }

    /// Number of the transmit queue's entry.
    fn tx_entry(&self) -> u32 {
        self.rx_entry() + 1
    }

    /// The transmit queue as the stack sees it.
    fn stack(&self) -> Option<StackQueue> {
        // SAFETY: The adapter holds the device, which has this queue whether it is in use or not.
        unsafe { StackQueue::new(self.adapter().netdev.as_ptr(), self.index as u32) }
    }

    /// Runs `change` with the transmit lock held: no transmit function runs, and none sees a half-done
    /// change.
    fn with_tx_locked<T>(&self, change: impl FnOnce() -> T) -> T {
        match self.stack() {
            Some(stack) => stack.with_lock(change),
            // A device has a queue per pair.
            None => change(),
        }
    }

    #[inline(always)]
    fn adapter(&self) -> &Adapter<C> {
        // SAFETY: The adapter owns this queue pair and is pinned.
        unsafe { &*self.adapter }
    }
}

/// State of the slow path.
pub(crate) struct Control {
    pub(crate) filters: Filters,
    pub(crate) counters: Counters,
    /// Queues exist and the interface is up.
    up: bool,
    /// NAPI is disabled and the gate closed: a restore is under way, or the hardware is out of reach.
    quiesced: bool,
    /// The hardware must be left alone: somebody else resets it, or the machine is suspended.
    detached: bool,
    /// Since when the PF has not answered, and how often that was reported.
    unanswered: Option<(Instant<Monotonic>, u32)>,
    pub(crate) ring_sizes: (u32, u32),
    pub(crate) moderation: Moderation,
    pub(crate) link: Option<(u32, bool)>,
    /// When the device was last reset.
    reset: Instant<Monotonic>,
    /// Queue pairs that the administrator wants.
    pub(crate) wanted_pairs: usize,
    /// Which packets get time stamps.
    pub(crate) stamping: Stamping,
    /// What the host has said to the last announcement of the shared region.
    accepted: Option<bool>,
    /// The health reporter shows a recovery that has failed.
    recovery_failed: bool,
}

// SAFETY: Plain data; `Instant` is a number.
unsafe impl Send for Control {}

/// Stands for the queue in a report of a hang that is a test.
const NO_QUEUE: u32 = u32::MAX;

impl Control {
    /// The function's state in one word, for users.
    fn state(&self) -> &'static str {
        match (self.up, self.quiesced, self.detached) {
            (_, _, true) => "detached",
            (_, true, _) => "restoring",
            (true, _, _) => "up",
            _ => "down",
        }
    }
}

/// A network function bound to its driver.
#[pin_data]
pub struct Adapter<C: Chip> {
    pub(crate) gate: GuestGate<RegionWord, Word32>,
    pub(crate) chip: C,
    pub(crate) queues: KVec<Pin<KBox<QueuePair<C>>>>,
    pub(crate) netdev: EtherDev,
    /// Adaptive moderation is on; read by the data path.
    adaptive: Word32,
    /// What looks at received frames first.
    program: ProgramSlot,
    /// VLANs of the interface.
    vlans: crate::queue::rx::VlanSet,
    /// Queue pairs in use, whose NAPI instances are registered; changes under the control lock while the interface is
    /// down.
    active: Word32,
    #[pin]
    pub(crate) control: Mutex<Control>,
    pub(crate) region: Arc<SharedRegion>,
    offer: Option<Offer>,
    /// Written by probe and remove only.
    handlers: Owned<KVec<Handler>>,
    /// As above.
    files: Owned<Option<Pin<KBox<debugfs::Files<C>>>>>,
    /// As above; shared while [`reporting`](Self::reporting) is set.
    devlink: Owned<Option<devlink::Devlink>>,
    #[pin]
    pub(crate) ptp: ptp::Ptp,
    /// As above.
    phc: Owned<Option<Pin<KBox<ptp::Phc<C>>>>>,
    /// Transmit hangs are reported to devlink.
    reporting: Word32,
    /// The transmit queue that hung last, or [`NO_QUEUE`] for a test.
    hung: Word32,
    vectors: Vectors,
    pub(crate) function: pci::Function,
    #[pin]
    restore_work: work::Item<Self>,
    #[pin]
    service_work: work::Item<Self>,
    #[pin]
    peers_work: work::Item<Self>,
    #[pin]
    events_work: work::Item<Self>,
    #[pin]
    report_work: work::Item<Self>,
    #[pin]
    recovered_work: work::Item<Self>,
    #[pin]
    stamp_work: work::Item<Self>,
    queue: work::Queue,
    /// Last: the function is disabled when nothing uses it any more.
    _enabled: pci::Enabled,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: Members are shared by the rules given at the top; C structures do their own locking.
unsafe impl<C: Chip> Send for Adapter<C> {}
// SAFETY: As above.
unsafe impl<C: Chip> Sync for Adapter<C> {}

impl<C: Chip> Adapter<C> {
    /// Takes a function: enables it, resets it, registers its network device.
    pub fn probe(function: pci::Function) -> Result<Pin<KBox<Self>>> {
        const { assert!(C::QUEUE_PAIRS >= 1 && C::VECTORS as usize > C::QUEUE_PAIRS) };
        let enabled = pci::Enabled::new(function, C::NAME)?;
        let vectors = Vectors::new(function, C::VECTORS)?;
        let mut kinds = KVec::with_capacity(2 * C::QUEUE_PAIRS, GFP_KERNEL)?;
        for _ in 0..C::QUEUE_PAIRS {
            kinds.push(QueueKind::Rx, GFP_KERNEL)?;
            kinds.push(QueueKind::Tx, GFP_KERNEL)?;
        }
        // CAST: Vector numbers are small.
        let region = SharedRegion::new::<C::Map>(
            function,
            C::COUNTERS.len(),
            &kinds,
            C::OTHER_VECTOR as u16,
        )?;
        let bar = Bar::map(function, C::BAR, C::Map::SIZE)?;
        let chip = C::new(function, Recorder::new(bar, RegionLog::new(region.clone())))?;
        let counters = Counters::new(&chip, &region)?;

        let netdev = EtherDev::new(size_of::<*const Self>(), C::QUEUE_PAIRS)?;

        let adapter = KBox::try_pin_init(
            try_pin_init!(Self {
                gate: GuestGate::new(RegionWord::new(region.clone()), Word32::new(0)),
                chip,
                queues: KVec::new(),
                netdev,
                adaptive: Word32::new(1),
                program: ProgramSlot::new(),
                vlans: crate::queue::rx::VlanSet::new(),
                // CAST: Few queues.
                active: Word32::new(C::QUEUE_PAIRS as u32),
                control <- new_mutex!(init!(Control {
                    // In place: they are too large for the stack.
                    filters: Filters::new(),
                    counters,
                    up: false,
                    quiesced: false,
                    detached: false,
                    unanswered: None,
                    ring_sizes: (DEFAULT_RING, DEFAULT_RING),
                    moderation: Moderation::Adaptive,
                    link: None,
                    reset: Instant::now(),
                    wanted_pairs: C::QUEUE_PAIRS.min(online_cpus()),
                    stamping: Stamping::default(),
                    accepted: None,
                    recovery_failed: false,
                })),
                region,
                offer: Offer::find(function),
                handlers: Owned::new(KVec::new()),
                files: Owned::new(None),
                devlink: Owned::new(None),
                ptp <- ptp::Ptp::new(),
                phc: Owned::new(None),
                reporting: Word32::new(0),
                hung: Word32::new(0),
                vectors,
                function,
                restore_work <- work::Item::new(Self::restore_worker),
                service_work <- work::Item::new(Self::service_worker),
                peers_work <- work::Item::new(Self::peers_worker),
                events_work <- work::Item::new(Self::events_worker),
                report_work <- work::Item::new(Self::report_worker),
                recovered_work <- work::Item::new(Self::recovered_worker),
                stamp_work <- work::Item::new(Self::stamp_worker),
                queue: work::Queue::new(C::NAME)?,
                _enabled: enabled,
                _pin: PhantomPinned,
            }? Error),
            GFP_KERNEL,
        )?;
        let adapter = Self::with_queues(adapter)?;
        let this = adapter.as_ref().get_ref();

        // SAFETY: The adapter is pinned, and `remove` or the drop of a failed probe cancels the items.
        unsafe {
            this.restore_work.set_target(this);
            this.service_work.set_target(this);
            this.peers_work.set_target(this);
            this.events_work.set_target(this);
            this.report_work.set_target(this);
            this.recovered_work.set_target(this);
            this.stamp_work.set_target(this);
        }
        this.start()?;
        Ok(adapter)
    }

    /// Makes the queue pairs, which point back to the pinned adapter.
    fn with_queues(mut adapter: Pin<KBox<Self>>) -> Result<Pin<KBox<Self>>> {
        let mut queues = KVec::with_capacity(C::QUEUE_PAIRS, GFP_KERNEL)?;
        for index in 0..C::QUEUE_PAIRS {
            let pair = KBox::pin(
                QueuePair {
                    napi: Napi::new(),
                    adapter: &raw const *adapter,
                    index,
                    tx: Owned::new(None),
                    rx: Owned::new(None),
                    tx_stats: Default::default(),
                    rx_stats: Default::default(),
                    itr: Word32::new(0),
                    rate: Default::default(),
                    _pin: PhantomPinned,
                },
                GFP_KERNEL,
            )?;
            queues.push(pair, GFP_KERNEL)?;
        }
        // SAFETY: Only the vector is replaced, which is not pinned structurally.
        unsafe { adapter.as_mut().get_unchecked_mut() }.queues = queues;
        Ok(adapter)
    }

    /// The second half of probe, on the pinned adapter.
    fn start(&self) -> Result {
        let device = self.function.device();
        let assigned = {
            let mut control = self.control.lock();
            self.region.set_device_state(DeviceState::Uninitialised);
            let assigned = match self.chip.reset(false) {
                Ok(mac) => mac,
                Err(e) => {
                    dev_err!(
                        device,
                        "the physical function does not answer ({:?}): is its driver loaded and its interface up? Bind this driver again then\n",
                        e
                    );
                    return Err(e);
                }
            };
            control.counters.restart(&self.chip);
            self.resume_clock(&control);
            self.region.set_device_state(DeviceState::Down);
            assigned
        };
        let netdev = self.netdev.as_ptr();
        // SAFETY: The device is not registered yet: nobody else uses it.
        unsafe {
            bindings::compsc_netdev_priv(netdev)
                .cast::<*const Self>()
                .write(self);
            bindings::compsc_set_netdev_dev(netdev, self.function.device_raw());
            match assigned {
                Some(mac) => bindings::compsc_eth_hw_addr_set(netdev, mac.as_ptr()),
                None => {
                    dev_info!(
                        device,
                        "no MAC address assigned by the host, choosing one\n"
                    );
                    bindings::compsc_eth_hw_addr_random(netdev);
                }
            }
        }
        self.set_netdev_ops();
        {
            let mut control = self.control.lock();
            let mac = self.netdev_mac();
            control.filters.mac = mac;
            // A PF says so before a VF can take it.
            if assigned.is_none() || C::PHYSICAL {
                self.chip.request_mac(mac)?;
            }
        }

        for pair in &self.queues {
            // SAFETY: The pair is pinned; it is unregistered before it is dropped.
            unsafe { pair.napi.register(netdev, Self::poll, pair.index) };
        }
        let registered = self.install_handlers().and_then(|()| {
            let wanted = self.control.lock().wanted_pairs;
            self.set_active(wanted)?;
            // SAFETY: Probe is the only user.
            unsafe { *self.devlink.get_mut() = Some(devlink::Devlink::new(self)?) };
            // Before the interface can be brought up: the host must know what the device writes.
            self.announce(&mut self.control.lock());
            // A network device works without a clock.
            // SAFETY: Probe is the only user.
            unsafe { *self.phc.get_mut() = self.make_clock() };
            // SAFETY: The device is complete.
            kernel::error::to_result(unsafe { bindings::register_netdev(netdev) })
        });
        if let Err(e) = registered {
            self.stop_everything();
            return Err(e);
        }
        // SAFETY: The device is registered. The service worker finds out about the link.
        unsafe { bindings::netif_carrier_off(netdev) };
        dev_info!(
            device,
            "{} as {}, {}\n",
            C::DESCRIPTION,
            self.netdev_name(),
            if self.offer.is_some() {
                "migratable"
            } else {
                "the host offers no migration"
            }
        );
        if let Some(port) = self.chip.port() {
            let _control = self.control.lock();
            let wakes = port.wake().is_ok_and(|(_, wanted)| wanted != 0);
            self.function.set_wakeup(wakes);
        }
        self.chip.ready();
        self.service_work.queue(&self.queue, SERVICE_MS);
        // SAFETY: Probe is the only user until the flag is set.
        if let Some(devlink) = unsafe { self.devlink.get_mut() } {
            devlink.register();
            self.reporting.publish(1);
        }
        // SAFETY: Probe is the only user.
        // A driver works without its files, as it does on a kernel without debugfs.
        unsafe { *self.files.get_mut() = debugfs::Files::new(self).ok() };
        Ok(())
    }

    fn make_clock(&self) -> Option<Pin<KBox<ptp::Phc<C>>>> {
        ptp::Phc::register(self).unwrap_or_else(|e| {
            dev_warn!(
                self.function.device(),
                "the clock cannot be registered ({:?})\n",
                e
            );
            None
        })
    }

    fn install_handlers(&self) -> Result {
        // SAFETY: Probe is the only user.
        let handlers = unsafe { self.handlers.get_mut() };
        for pair in &self.queues {
            let irq = self.vectors.irq(C::queue_vector(pair.index))?;
            let name = CString::try_from_fmt(fmt!("{}-TxRx-{}", self.function.name(), pair.index))?;
            // SAFETY: The handler expects the queue pair, which outlives it.
            let handler = unsafe {
                Handler::new(
                    irq,
                    name,
                    Self::queue_irq,
                    (&raw const **pair).cast_mut().cast(),
                )?
            };
            handlers.push(handler, GFP_KERNEL)?;
            self.describe_napi(pair)?;
        }
        let irq = self.vectors.irq(C::OTHER_VECTOR)?;
        let name = CString::try_from_fmt(fmt!("{}-other", self.function.name()))?;
        // SAFETY: The handler expects the adapter, which outlives it.
        let handler = unsafe {
            Handler::new(
                irq,
                name,
                Self::other_irq,
                (&raw const *self).cast_mut().cast(),
            )?
        };
        handlers.push(handler, GFP_KERNEL)?;
        Ok(())
    }

    /// Tells the stack which interrupt and queues the NAPI instance of a pair belongs to. RTNL is held, or the network
    /// device is not registered.
    fn describe_napi(&self, pair: &QueuePair<C>) -> Result {
        pair.napi
            .set_irq(self.vectors.irq(C::queue_vector(pair.index))?);
        // SAFETY: By this function's requirement.
        unsafe { pair.napi.set_queues(pair.index as u32, true) };
        Ok(())
    }

    /// Ends all activity; for remove and for a probe that fails late. The network device is not
    /// registered any more.
    fn stop_everything(&self) {
        // SAFETY: Remove is the only user.
        unsafe { *self.phc.get_mut() = None };
        {
            let _control = self.control.lock();
            self.chip.mask_all();
        }
        // SAFETY: Remove is the only user.
        unsafe { self.handlers.get_mut() }.clear();
        // Each may be queued by a handler that was running, or by another one, in a circle.
        self.events_work.retire();
        self.service_work.retire();
        self.restore_work.retire();
        self.peers_work.retire();
        self.report_work.retire();
        self.recovered_work.retire();
        self.stamp_work.retire();
        // Now nothing announces the region again; its memory is freed soon.
        if let Some(offer) = self.offer {
            offer.retract();
        }
        for pair in self.active() {
            // SAFETY: Those of active pairs are registered; the interface is down, hence the instance disabled.
            unsafe { pair.napi.unregister() };
        }
    }

    /// Unregisters the network device and stops. For [`pci::Driver::remove`].
    pub fn remove(&self) {
        // SAFETY: Remove is the only user.
        unsafe { *self.files.get_mut() = None };
        self.reporting.publish(0);
        self.report_work.cancel();
        self.recovered_work.cancel();
        // SAFETY: A report that is queued from now on finds the flag cleared, so remove is the only user.
        unsafe { *self.devlink.get_mut() = None };
        self.remove_vfs();
        // SAFETY: Registered by `start`.
        unsafe { bindings::unregister_netdev(self.netdev.as_ptr()) };
        self.stop_everything();
    }

    /// Tells the host where the shared region is, if it wants to know.
    fn announce(&self, control: &mut Control) {
        let Some(offer) = self.offer else { return };
        // A configuration space that cannot be read belongs to a function that is gone.
        let accepted = offer.announce(&self.region).unwrap_or(false);
        if !accepted && control.accepted != Some(false) {
            dev_warn!(
                self.function.device(),
                "the host does not accept the shared region at {:#x}: not migratable without a long pause\n",
                self.region.dma_address()
            );
        }
        control.accepted = Some(accepted);
    }

    /// Reads something from the device. `None` if it was replaced or reset meanwhile: then the value is that of
    /// no device, and the restore is on its way.
    fn read_device<T>(&self, read: impl FnOnce(&C) -> T) -> Option<T> {
        let Entry::Pass(ticket) = self.gate.enter() else {
            return None;
        };
        let value = read(&self.chip);
        let reset = self.chip.reset_asked();
        if reset {
            // Forgotten by the look: the restore must not be.
            self.gate.close();
        }
        if reset || self.gate.exit(ticket) == Exit::Moved {
            self.restore_work.requeue(&self.queue, 0);
            return None;
        }
        Some(value)
    }

    /// Accounts what the device has counted, if it is there.
    pub(crate) fn update_counters(&self, control: &mut Control) {
        if control.detached || control.quiesced {
            return;
        }
        let counters = &mut control.counters;
        let whole = self.read_device(|chip| {
            counters.read(chip, || self.gate.pending() == Pending::Nothing);
        });
        counters.account(&self.region, whole.is_some());
    }

    /// Runs an operation that talks to the PF. One that a migration has cut in two is run again: the PF of the target
    /// knows nothing of its first half and refuses the second.
    pub(crate) fn on_device<T>(
        &self,
        control: &mut Control,
        mut operation: impl FnMut(&mut Control) -> Result<T>,
    ) -> Result<T> {
        self.restore_if_needed(control, false)?;
        let result = operation(control);
        if result.is_ok() || self.gate.pending() == Pending::Nothing {
            return result;
        }
        self.restore_if_needed(control, false)?;
        operation(control)
    }

    /// Name of the network interface.
    pub(crate) fn netdev_name(&self) -> &CStr {
        // SAFETY: The name is NUL-terminated; a rename may be seen half done in a message, no worse.
        unsafe { CStr::from_char_ptr((&raw const (*self.netdev.as_ptr()).name).cast()) }
    }

    /// MAC address of the network interface.
    pub(crate) fn netdev_mac(&self) -> [u8; 6] {
        // SAFETY: The device is valid.
        unsafe { crate::net::netdev_address(self.netdev.as_ptr()) }
    }

    /// Whether the stack sees the link as up.
    fn carrier(&self) -> bool {
        // SAFETY: The device is valid.
        unsafe { bindings::compsc_netif_carrier_ok(self.netdev.as_ptr()) }
    }

    /// Brings the interface up: rings, filters, queues, interrupts.
    pub(crate) fn up(&self, control: &mut Control) -> Result {
        self.up_with(control, KVec::new())
    }

    /// The same with rings in memory that was allocated before, as far as it suits.
    fn up_with(&self, control: &mut Control, spare: KVec<RingMemory>) -> Result {
        // A new op set: what earlier ones told the device is forgotten by both.
        let assigned = if C::RESET_ON_UP {
            self.chip.reset(false)?
        } else {
            None
        };
        self.chip.use_queue_pairs(self.active().len());
        let result = self.make_rings(control.ring_sizes, spare);
        if result.is_err() {
            self.free_rings();
            return result;
        }
        let result = self.start_queues(control, assigned);
        if result.is_err() {
            // Nothing may write to the rings any more.
            self.reset_hard(control);
            self.free_rings();
        }
        result
    }

    /// Makes the rings of queues that are disabled.
    fn make_rings(&self, (tx_count, rx_count): (u32, u32), mut spare: KVec<RingMemory>) -> Result {
        for pair in self.active() {
            let (tx_head, rx_head) = self.chip.heads(pair.index);
            // 0 on silicon. The emulator's resets keep the heads, which must be inside the rings.
            if tx_head.max(rx_head) >= MAX_RING {
                dev_err!(
                    self.function.device(),
                    "the device is gone: its ring heads read {:#x}\n",
                    tx_head.max(rx_head)
                );
                return Err(EIO);
            }
            let sizes = (
                Ring::round_size(tx_count.max(tx_head + 1)),
                Ring::round_size(rx_count.max(rx_head + 1)),
            );
            let memory = match spare.pop() {
                Some(memory) if memory.fits(sizes) => memory,
                _ => RingMemory::new(self.function, sizes)?,
            };
            let stack = pair.stack().ok_or(EINVAL)?;
            let tx = TxRing::new(self.function, pair.index, memory.tx, tx_head, stack);
            let posted = PostedBuffers::new(self.region.clone(), pair.rx_entry(), sizes.1);
            let rx = RxRing::new(
                self.function,
                &pair.napi,
                pair.index,
                memory.rx,
                rx_head,
                posted,
            )?;
            self.describe_queue(pair.rx_entry(), QueueKind::Rx, pair.index, rx.descriptors());
            self.describe_queue(pair.tx_entry(), QueueKind::Tx, pair.index, tx.descriptors());
            self.chip
                .configure_queue(pair.index, &tx, &rx, crate::queue::rx::BUFFER_LEN);
            // Empty when they are enabled: a tail of earlier rings would hand out descriptors that hold nothing.
            self.chip.write_tx_tail(pair.index, tx_head);
            self.chip.write_rx_tail(pair.index, rx_head);
            pair.with_tx_locked(|| {
                // SAFETY: The interface is not up: NAPI is disabled, and the transmit lock is held.
                unsafe {
                    *pair.tx.get_mut() = Some(tx);
                    *pair.rx.get_mut() = Some(rx);
                }
            });
        }
        Ok(())
    }

    fn start_queues(&self, control: &mut Control, assigned: Option<[u8; 6]>) -> Result {
        self.chip.request_max_frame(control.filters.max_frame())?;
        self.chip.request_filters(&control.filters, assigned)?;
        self.chip.configure_irqs();
        for pair in self.active() {
            let usecs = match control.moderation {
                Moderation::Fixed(usecs) => usecs,
                Moderation::Adaptive => poll::DEFAULT_USECS,
            };
            pair.itr.set(usecs);
            self.chip.set_queue_itr(pair.index, usecs);
            self.chip.enable_queue(pair.index, true)?;
        }
        self.region.set_device_state(DeviceState::Up);
        control.up = true;
        for pair in self.active() {
            // SAFETY: NAPI is still disabled: this is its owner.
            if let Some(rx) = unsafe { pair.rx.get_mut() } {
                rx.fill(&pair.receive_context(Some(&self.chip)));
            }
            pair.napi.enable();
            // SAFETY: The ring exists until the interface goes down; only its shared side is used.
            if let Some(tx) = unsafe { (*pair.tx.as_ptr()).as_ref() } {
                tx.stack().wake();
            }
        }
        // The stack's watchdog looks at all queues, and takes a stopped one for a hang.
        for pair in self.queues.iter().skip(self.active().len()) {
            if let Some(stack) = pair.stack() {
                stack.start();
            }
        }
        self.chip.unmask_all();
        // Whatever came before the unmasking.
        self.chip.kick_all();
        self.service_work.requeue(&self.queue, 0);
        Ok(())
    }

    /// Takes the interface down: link, queues, interrupts, rings.
    pub(crate) fn down(&self, control: &mut Control) {
        if control.up {
            control.link = None;
            // SAFETY: The device is valid.
            unsafe { bindings::netif_carrier_off(self.netdev.as_ptr()) };
            self.stop_queues(control);
        }
    }

    fn stop_queues(&self, control: &mut Control) {
        self.update_counters(control);
        control.up = false;
        for pair in self.active() {
            pair.with_tx_locked(|| {
                // SAFETY: The ring exists; only its shared side is used.
                if let Some(tx) = unsafe { (*pair.tx.as_ptr()).as_ref() } {
                    tx.stack().stop();
                }
            });
        }
        if !control.quiesced {
            self.chip.mask_queues();
            for pair in self.active() {
                pair.napi.disable();
            }
        }
        control.quiesced = false;
        for pair in self.active() {
            if let Err(e) = self.chip.enable_queue(pair.index, false) {
                if !control.detached {
                    dev_warn!(
                        self.function.device(),
                        "queue pair {} does not stop ({:?})\n",
                        pair.index,
                        e
                    );
                    // Nothing may write to the rings any more.
                    self.reset_hard(control);
                }
            }
        }
        self.region.set_device_state(DeviceState::Down);
        self.forget_request();
        self.free_rings();
    }

    /// Resets the device because it does not do what it is told.
    fn reset_hard(&self, control: &mut Control) {
        self.pause_clock();
        let _ = self.chip.reset(false);
        control.reset = Instant::now();
        self.resume_clock(control);
        self.chip.ready();
    }

    /// The queue pairs in use.
    pub(crate) fn active(&self) -> &[Pin<KBox<QueuePair<C>>>] {
        let count = self.active.get() as usize;
        self.queues.get(..count).unwrap_or(&self.queues)
    }

    /// Changes the number of queue pairs in use, as far as the chip has them, while the interface is down. The caller
    /// holds RTNL, or the device is not registered.
    pub(crate) fn set_active(&self, pairs: usize) -> Result {
        let pairs = pairs.min(self.chip.queue_pairs()).max(1) as u32;
        let netdev = self.netdev.as_ptr();
        // SAFETY: The device is valid; RTNL is held or not needed, as the caller promises.
        unsafe {
            kernel::error::to_result(bindings::netif_set_real_num_tx_queues(netdev, pairs))?;
            kernel::error::to_result(bindings::netif_set_real_num_rx_queues(netdev, pairs))?;
        }
        let before = self.active.get();
        // The stack waits for a poll of each instance that it knows when NAPI threads are ended, so it must not know
        // those that are not in use.
        for pair in &self.queues {
            let index = pair.index as u32;
            if (before..pairs).contains(&index) {
                // SAFETY: As in `start`.
                unsafe { pair.napi.register(netdev, Self::poll, pair.index) };
                self.describe_napi(pair)?;
            } else if (pairs..before).contains(&index) {
                // SAFETY: RTNL as above. The instance is registered, and disabled like all of an interface that is down.
                unsafe {
                    pair.napi.set_queues(index, false);
                    pair.napi.unregister();
                }
            }
        }
        self.active.set(pairs);
        // Asked for the default table, a driver is given one that looks like any other.
        // SAFETY: The device is valid.
        if !unsafe { bindings::compsc_netif_is_rxfh_configured(netdev) } {
            if let Some(port) = self.chip.port() {
                port.spread_rss();
            }
        }
        Ok(())
    }

    /// Takes the queues down, has them changed, and brings up at most `pairs` of them with rings of `sizes`. The
    /// link stays up for the stack, and the queues stay as they are if there is no memory for the new ones. RTNL is held.
    pub(crate) fn reconfigure(
        &self,
        control: &mut Control,
        pairs: usize,
        sizes: (u32, u32),
        change: impl FnOnce(&mut Control) -> Result,
    ) -> Result {
        if !control.up {
            return change(control);
        }
        let mut spare = KVec::new();
        for _ in 0..pairs {
            spare.push(RingMemory::new(self.function, sizes)?, GFP_KERNEL)?;
        }
        self.restore_if_needed(control, false)?;
        // The stack's watchdog takes queues that stand still for a hang, and large rings take their time.
        // SAFETY: The device is valid and registered.
        unsafe { bindings::netif_device_detach(self.netdev.as_ptr()) };
        self.stop_queues(control);
        let changed = change(control);
        let up = self.on_device(control, |control| {
            self.up_with(control, core::mem::take(&mut spare))
        });
        if up.is_err() {
            control.link = None;
            self.report_link(None);
        }
        // SAFETY: As above. A queue that has no ring drops what it is given.
        unsafe { bindings::netif_device_attach(self.netdev.as_ptr()) };
        changed.and(up)
    }

    /// Whether the device is the one that this driver has set up: not replaced, not in reset, not gone.
    pub(crate) fn is_reachable(&self, control: &Control) -> bool {
        !control.detached && !control.quiesced && self.gate.pending() == Pending::Nothing
    }

    fn free_rings(&self) {
        for pair in &self.queues {
            let rings = pair.with_tx_locked(|| {
                // SAFETY: NAPI is disabled and the transmit lock held.
                unsafe { (pair.tx.get_mut().take(), pair.rx.get_mut().take()) }
            });
            self.region.forget_queue(pair.rx_entry());
            self.region.forget_queue(pair.tx_entry());
            drop(rings);
        }
    }

    fn describe_queue(
        &self,
        index: u32,
        kind: QueueKind,
        hw_index: usize,
        descriptors: &crate::queue::Descriptors,
    ) {
        let mut entry = QueueEntry::describe(
            kind,
            hw_index as u16,
            descriptors.dma_address(),
            descriptors.count(),
        );
        if kind == QueueKind::Rx {
            entry.buffer_len.set(crate::queue::rx::BUFFER_LEN);
            entry.table_offset.set(self.region.table_offset(index));
        }
        self.region.describe_queue(index, &entry);
    }

    /// Looks at link, counters and announcement from time to time.
    fn service_worker(&self) {
        {
            let mut control = self.control.lock();
            if !control.detached {
                self.service(&mut control);
            }
        }
        self.service_work.queue(&self.queue, SERVICE_MS);
    }

    fn service(&self, control: &mut Control) {
        // A host that has forgotten the region has reset the function under us, and unlocks the gate when
        // the region is announced again.
        let mut asked = false;
        if self.offer.is_some_and(|o| !o.accepted().unwrap_or(true)) {
            asked = control.accepted == Some(true);
            self.announce(control);
        }
        if !control.quiesced && self.chip.reset_asked() {
            dev_info!(
                self.function.device(),
                "the physical function was reset, restoring\n"
            );
            asked = true;
        }
        if self.restore_if_needed(control, asked).is_err() {
            return;
        }
        self.read_device(C::refresh);
        self.look_at_clock();
        if !control.up {
            return;
        }
        self.update_counters(control);
        let dummy_writes = self.queues.iter().map(|q| q.rx_stats.dummy_writes.get());
        self.region.set_dummy_writes(dummy_writes.sum());
        // A receive ring that ran dry raises no interrupt when memory is there again.
        for pair in self.active() {
            self.chip.kick_queue(pair.index);
        }
        let Some(link) = self.read_device(C::link) else {
            return;
        };
        if link.is_none() && elapsed_ns(control.reset) < C::LINK_MS * 1_000_000 {
            self.service_work.queue(&self.queue, LINK_LOOK_MS);
            return;
        }
        if link != control.link {
            control.link = link;
            self.report_link(link);
        }
    }

    /// Deals with what the other vector tells of, as soon as possible.
    fn events_worker(&self) {
        let control = self.control.lock();
        // A function that is being restored is asked again afterwards.
        if !self.is_reachable(&control) {
            return;
        }
        let events = self.read_device(C::events).unwrap_or_default();
        drop(control);
        if events.service {
            self.service_work.requeue(&self.queue, 0);
        }
        if let Some(msecs) = events.again {
            self.events_work.queue(&self.queue, msecs);
        }
    }

    pub(super) fn report_link(&self, link: Option<(u32, bool)>) {
        match link {
            Some((speed, full)) => {
                if !self.carrier() {
                    dev_info!(
                        self.function.device(),
                        "{}: link is up, {} Mb/s, {} duplex\n",
                        self.netdev_name(),
                        speed,
                        if full { "full" } else { "half" }
                    );
                }
                // SAFETY: The device is valid.
                unsafe { bindings::netif_carrier_on(self.netdev.as_ptr()) };
            }
            None => {
                if self.carrier() {
                    dev_info!(
                        self.function.device(),
                        "{}: link is down\n",
                        self.netdev_name()
                    );
                }
                // SAFETY: The device is valid.
                unsafe { bindings::netif_carrier_off(self.netdev.as_ptr()) };
            }
        }
    }

    /// Has a transmit hang reported, or with `None` a test.
    fn report(&self, queue: Option<u32>) {
        self.hung.set(queue.unwrap_or(NO_QUEUE));
        // Not in the restore's queue: the report waits for devlink's lock, whose holders may wait for a restore.
        self.report_work.queue_on_system();
    }

    /// Reports a transmit hang, from which the reporter recovers.
    fn report_worker(&self) {
        let message = match self.hung.get() {
            NO_QUEUE => CString::try_from_fmt(fmt!("test")),
            queue => CString::try_from_fmt(fmt!("transmit queue {queue} hangs")),
        };
        if let Some(devlink) = self.reporter() {
            devlink.report(message.as_deref().unwrap_or(c"a transmit queue hangs"));
        }
    }

    /// Tells that a later attempt has recovered what the reporter's own could not.
    fn recovered_worker(&self) {
        if let Some(devlink) = self.reporter() {
            devlink.recovered();
        }
    }

    /// The devlink instance, for workers that remove waits for.
    fn reporter(&self) -> Option<&devlink::Devlink> {
        if self.reporting.observe() == 0 {
            return None;
        }
        // SAFETY: The flag is set, and remove waits for the caller after having cleared it.
        unsafe { (*self.devlink.as_ptr()).as_ref() }
    }

    /// Has switches and neighbours told where the function is now.
    fn peers_worker(&self) {
        // SAFETY: The device is registered: remove cancels this item after unregistering only, and waits.
        unsafe { bindings::netdev_notify_peers(self.netdev.as_ptr()) };
    }

    /// For [`pci::Driver::shutdown`].
    pub fn shutdown(&self) {
        let mut control = self.control.lock();
        self.detach(&mut control);
        self.chip.mask_all();
        for pair in self.active() {
            let _ = self.chip.enable_queue(pair.index, false);
        }
        // What runs next in this machine does not know the region.
        if let Some(offer) = self.offer {
            offer.retract();
        }
        if C::PHYSICAL {
            self.chip.silence();
            if self.arm_wake() {
                self.function.wake_from_off();
            }
        }
    }

    /// For [`pci::Driver::reset_prepare`].
    pub fn reset_prepare(&self) {
        let mut control = self.control.lock();
        self.update_counters(&mut control);
        self.detach(&mut control);
    }

    /// For [`pci::Driver::cut_off`].
    pub fn cut_off(&self) {
        self.detach(&mut self.control.lock());
    }

    /// Leaves the hardware alone until [`Self::reset_done`]. The stack's watchdog does not take that for a hang.
    fn detach(&self, control: &mut Control) {
        self.quiesce(control);
        control.detached = true;
        // SAFETY: The device is valid and registered.
        unsafe { bindings::netif_device_detach(self.netdev.as_ptr()) };
    }

    /// For [`pci::Driver::suspend`]: as before a reset, and the function must not write to memory that is being
    /// saved, or that another kernel takes over.
    pub fn suspend(&self) {
        self.reset_prepare();
        let _control = self.control.lock();
        self.chip.silence();
        self.arm_wake();
    }

    /// Makes the silenced function wait for what wakes the machine. Returns whether there is anything.
    fn arm_wake(&self) -> bool {
        self.chip.port().is_some_and(|port| port.arm_wake())
    }

    /// For [`pci::Driver::reset_done`].
    pub fn reset_done(&self) {
        {
            let mut control = self.control.lock();
            control.detached = false;
            self.gate.close();
            self.announce(&mut control);
            // The closed gate holds what is sent until the function is restored.
            // SAFETY: The device is valid and registered.
            unsafe { bindings::netif_device_attach(self.netdev.as_ptr()) };
        }
        self.restore_work.requeue(&self.queue, 0);
    }
}

/// Number of CPUs.
fn online_cpus() -> usize {
    // SAFETY: Reads a number.
    unsafe { bindings::compsc_num_online_cpus() as usize }
}

/// Nanoseconds since `start`.
pub(crate) fn elapsed_ns(start: Instant<Monotonic>) -> u64 {
    // CAST: Monotonic time does not go back.
    start.elapsed().as_nanos().max(0) as u64
}

/// Waits until `done`, looking every 10 µs, for `millis` milliseconds.
pub fn poll_until(millis: u32, mut done: impl FnMut() -> bool) -> Result {
    let start = Instant::<Monotonic>::now();
    let mut looks = 0u32;
    loop {
        // Asked before the look: a processor that was away for long looks once more.
        let last = elapsed_ns(start) >= u64::from(millis) * 1_000_000;
        if done() {
            return Ok(());
        }
        if last {
            return Err(ETIMEDOUT);
        }
        if looks < 10 {
            looks += 1;
            kernel::time::delay::udelay(Delta::from_micros(2));
        } else {
            kernel::time::delay::fsleep(Delta::from_micros(10));
        }
    }
}

const _: () = assert!(DEFAULT_RING <= MAX_RING);
