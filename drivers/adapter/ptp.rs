// SPDX-License-Identifier: GPL-2.0

//! The clock of a function (PTP hardware clock), and time stamps of packets by it.
//!
//! [`Clock`] is the time, as pure code; here is who reads the device for it. The clock never stops: while there is no
//! device that could be read (a reset, a migration, suspend) it goes by the system's clock, and
//! [`Adapter::resume_clock`], a part of the restore, moves it to the device that is there then.
//!
//! # Locks and memory order
//!
//! [`Ptp::state`] is the innermost lock, taken with interrupts off, by whoever holds one of the adapter's others or
//! none: reading the clock waits for no restore. A read of the device is made under it, inside a section of the gate:
//! what it returns counts only if the host has not moved the function meanwhile. The driver's own resets do not show
//! in the gate, so [`Adapter::pause_clock`] sets [`State::away`] under the lock before them: nobody reads the device
//! from then on, and whoever was reading it has finished. The lock orders everything else; there is no word that is
//! shared without it but [`Ptp::index`], a constant once the network device is registered.
//!
//! One sent packet at a time waits for its stamp, because the device keeps one; its socket buffer, by a reference of
//! its own, belongs to the state. Whoever takes it out there ends the request: the worker that looks for the stamp, a
//! pause of the clock, the interface that goes down, or the transmit function whose packet was dropped.

use super::{
    Adapter,
    Chip,
    Control, //
};
use crate::{
    bindings,
    net::Skb,
    queue::Stamps,
    sync::Word32, //
};
use compsc_core::gate::{
    Entry,
    Exit, //
};
use compsc_regs::{
    clock::{
        filter,
        increment,
        Clock,
        RxFilter,
        Stamping,
        MAX_PPB, //
    },
    desc::tx::DCMD_TSTAMP,
};
use core::ptr::NonNull;
use kernel::{
    error::{
        from_err_ptr,
        from_result, //
    },
    new_spinlock_irq,
    prelude::*,
    str::CStr,
    sync::SpinLockIrq,
    time::{
        delay::fsleep,
        Delta, //
    },
    types::Opaque,
};

/// Nanoseconds after which a stamp does not come any more: as long as a packet may wait for a link partner that pauses.
const TX_TIMEOUT_NS: u64 = 15_000_000_000;

/// Nanoseconds after which the stamp of a received packet that nobody has taken is of one that was dropped.
const RX_TIMEOUT_NS: u64 = 5_000_000_000;

/// Looks for a stamp, how many microseconds apart, and milliseconds until the next round of them.
const LOOKS: u32 = 20;
const LOOK_US: i64 = 50;
const ROUND_MS: u32 = 1;

const NS_PER_S: u64 = 1_000_000_000;

/// A chip's side of it. What is not said to be called under the control lock is called under that of the clock.
pub trait Timer {
    /// Low half of the count, in units of [`clock`](compsc_regs::clock). Keeps the high half.
    fn count_low(&self) -> u32;
    /// The high half that belongs to the low half read last.
    fn count_high(&self) -> u32;
    /// Sets what is added per period, unless it is that.
    fn set_increment(&self, increment: u32);
    /// Chooses what is stamped. Called under the control lock.
    fn set_stamping(&self, stamping: Stamping);
    /// Whether the stamp of a received packet waits.
    fn has_rx_stamp(&self) -> bool;
    /// Takes the stamp of a received packet: the count.
    fn take_rx_stamp(&self) -> Option<u64>;
    /// Takes the stamp of a sent packet.
    fn take_tx_stamp(&self) -> Option<u64>;
}

/// What the stack is told of stamps.
#[derive(Clone, Copy, Default)]
struct Counts {
    /// Sent packets that were stamped.
    sent: u64,
    /// Whose stamp did not come.
    timeouts: u64,
    /// That could not be stamped because another one was.
    skipped: u64,
    /// Stamps of received packets that nobody had taken.
    cleared: u64,
}

/// A sent packet that waits for its stamp.
struct Request {
    skb: Skb,
    since: u64,
}

struct State {
    clock: Clock,
    /// The device must not be read: it is being reset, or suspended.
    away: bool,
    stamping: Stamping,
    request: Option<Request>,
    /// Since when the stamp of a received packet has been waiting, as far as was seen.
    unread: Option<u64>,
    counts: Counts,
}

/// The clock of an adapter.
#[pin_data]
pub(crate) struct Ptp {
    #[pin]
    state: SpinLockIrq<State>,
    /// Number of the clock for users, plus 1; 0 without one.
    index: Word32,
}

impl Ptp {
    pub(super) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            state <- new_spinlock_irq!(State {
                clock: Clock::new(real(), system()),
                away: true,
                stamping: Stamping::default(),
                request: None,
                unread: None,
                counts: Counts::default(),
            }, "compsc_ptp"),
            index: Word32::new(0),
        }? Error)
    }
}

/// The system's time since boot in nanoseconds. It goes on while the machine is suspended.
fn system() -> u64 {
    // CAST: Not negative.
    // SAFETY: May be called in any context but NMI.
    unsafe { bindings::ktime_get_boottime() as u64 }
}

/// The time of day in nanoseconds.
fn real() -> u64 {
    // CAST: As above.
    // SAFETY: As above.
    unsafe { bindings::ktime_get_real() as u64 }
}

/// A look at the device's count.
struct Reading {
    count: u64,
    /// The system's time before, and between that and after the look.
    before: u64,
    system: u64,
    after: u64,
}

impl Reading {
    /// Looks. `None` for a device that is not there any more.
    fn take(timer: &dyn Timer, around: Around) -> Option<Self> {
        let before = system();
        around.before();
        let low = timer.count_low();
        around.after();
        let after = system();
        let high = timer.count_high();
        if low & high == u32::MAX {
            return None;
        }
        Some(Self {
            count: u64::from(high) << 32 | u64::from(low),
            before,
            system: before + after.saturating_sub(before) / 2,
            after,
        })
    }
}

/// The system's clocks right before and right after a look, for who has asked for them.
#[derive(Clone, Copy)]
struct Around(*mut bindings::ptp_system_timestamp);

impl Around {
    const NOBODY: Self = Self(core::ptr::null_mut());

    fn before(self) {
        // SAFETY: The pointer is null, which the function allows, or that of the caller of `gettimex64`.
        unsafe { bindings::compsc_ptp_before(self.0) };
    }

    fn after(self) {
        // SAFETY: As above.
        unsafe { bindings::compsc_ptp_after(self.0) };
    }
}

impl<C: Chip> Adapter<C> {
    /// Statistics, with upstream igb's names.
    pub(super) const CLOCK_STATS: &'static [&'static CStr] = if C::PHYSICAL {
        &[
            c"tx_hwtstamp_timeouts",
            c"tx_hwtstamp_skipped",
            c"rx_hwtstamp_cleared",
        ]
    } else {
        &[]
    };

    /// Values in the order of [`CLOCK_STATS`](Self::CLOCK_STATS).
    pub(super) fn clock_stats(&self) -> impl Iterator<Item = u64> {
        let counts = self.ptp.state.lock().counts;
        [counts.timeouts, counts.skipped, counts.cleared]
            .into_iter()
            .take(Self::CLOCK_STATS.len())
    }

    /// Asks the device, under the clock's lock. `None` if there is none, or not the same one afterwards as before.
    fn on_timer<T>(&self, state: &State, ask: impl FnOnce(&dyn Timer) -> T) -> Option<T> {
        let timer = self.chip.timer()?;
        if state.away {
            return None;
        }
        let Entry::Pass(ticket) = self.gate.enter() else {
            return None;
        };
        let answer = ask(timer);
        if self.gate.exit(ticket) == Exit::Moved {
            self.restore_work.requeue(&self.queue, 0);
            return None;
        }
        Some(answer)
    }

    /// Reads the clock.
    fn read_clock(&self, state: &mut State, around: Around) -> u64 {
        let reading = self.on_timer(state, |timer| Reading::take(timer, around));
        match reading.flatten() {
            Some(reading) => state.clock.read(reading.count, reading.system),
            None => {
                around.before();
                let now = system();
                around.after();
                state.clock.without_device(now)
            }
        }
    }

    /// Reads the clock and has its base in the present, to be changed.
    fn settle_clock(&self, state: &mut State) {
        let reading = self.on_timer(state, |timer| Reading::take(timer, Around::NOBODY));
        match reading.flatten() {
            Some(reading) => {
                state.clock.read(reading.count, reading.system);
            }
            None => state.clock.leave(system()),
        }
    }

    /// Lets nobody read the device any more, which is about to be reset. A packet that waits for its stamp has waited
    /// in vain: it may be sent by another device.
    pub(super) fn pause_clock(&self) {
        let request = {
            let mut state = self.ptp.state.lock();
            if !state.away {
                self.read_clock(&mut state, Around::NOBODY);
                state.away = true;
            }
            Self::end_request(&mut state)
        };
        drop(request);
    }

    /// Goes on with the device that was reset and set up, whatever it has counted. Part of the restore; the control
    /// lock is held.
    pub(super) fn resume_clock(&self, control: &Control) {
        let Some(timer) = self.chip.timer() else {
            return;
        };
        // Written already by a replay, but not after a reset that has forgotten the log.
        timer.set_stamping(control.stamping);
        let mut state = self.ptp.state.lock();
        timer.set_increment(state.clock.increment());
        // What it holds is of packets that are gone.
        timer.take_rx_stamp();
        timer.take_tx_stamp();
        state.unread = None;
        match Reading::take(timer, Around::NOBODY) {
            Some(reading) => state.clock.continue_on(reading.count, reading.system),
            None => state.clock.leave(system()),
        }
        state.away = false;
    }

    /// Looks from time to time, so that no wrap of the count is missed, and that the clock knows how far it was when the
    /// device is moved without notice.
    pub(super) fn look_at_clock(&self) {
        if self.chip.timer().is_none() {
            return;
        }
        let mut state = self.ptp.state.lock();
        self.read_clock(&mut state, Around::NOBODY);
        if state.stamping.rx == RxFilter::None {
            return;
        }
        let now = system();
        let waits = self.on_timer(&state, |timer| timer.has_rx_stamp());
        let Some(true) = waits else {
            state.unread = None;
            return;
        };
        let since = *state.unread.get_or_insert(now);
        if now.saturating_sub(since) < RX_TIMEOUT_NS {
            return;
        }
        // Its packet was dropped, and no other one is stamped until it is taken.
        if self
            .on_timer(&state, |timer| timer.take_rx_stamp())
            .is_some()
        {
            state.counts.cleared += 1;
            state.unread = None;
        }
    }

    /// Ends the request for a stamp, if there is one, as one that got none. What is returned is freed without the lock.
    #[must_use]
    fn end_request(state: &mut State) -> Option<Request> {
        let request = state.request.take();
        state.counts.timeouts += u64::from(request.is_some());
        request
    }

    /// As above, for an interface whose packets will not be sent.
    pub(super) fn forget_request(&self) {
        let request = Self::end_request(&mut self.ptp.state.lock());
        drop(request);
    }

    /// Looks for the stamp of the packet that waits for one.
    pub(super) fn stamp_worker(&self) {
        for _ in 0..LOOKS {
            let mut state = self.ptp.state.lock();
            let Some(request) = &state.request else {
                return;
            };
            let waited = system().saturating_sub(request.since);
            let stamp = self.on_timer(&state, |timer| timer.take_tx_stamp());
            if let Some(count) = stamp.flatten() {
                let request = state.request.take();
                let time = state.clock.at(count);
                state.counts.sent += 1;
                // The sender may want the next stamp as soon as it knows of this one.
                drop(state);
                if let (Some(request), Some(ns)) = (request, time) {
                    request.skb.report_sent(ns);
                }
                return;
            }
            if waited >= TX_TIMEOUT_NS {
                let request = Self::end_request(&mut state);
                drop(state);
                dev_warn!(
                    self.function.device(),
                    "{}: no time stamp for a packet within 15 s\n",
                    self.netdev_name()
                );
                drop(request);
                return;
            }
            drop(state);
            fsleep(Delta::from_micros(LOOK_US));
        }
        self.stamp_work.queue_on_system_after(ROUND_MS);
    }

    /// Has the device stamp a packet, if it has no other one to stamp.
    fn request_stamp(&self, skb: &mut Skb) -> bool {
        let mut state = self.ptp.state.lock();
        let free = state.stamping.tx && state.request.is_none();
        // A stamp that is there is one that came too late for its packet.
        if !free
            || self
                .on_timer(&state, |timer| timer.take_tx_stamp())
                .is_none()
        {
            state.counts.skipped += 1;
            return false;
        }
        state.request = skb.await_stamp().map(|skb| Request {
            skb,
            since: system(),
        });
        drop(state);
        self.stamp_work.queue_on_system();
        true
    }

    pub(super) extern "C" fn ndo_hwtstamp_get(
        dev: *mut bindings::net_device,
        config: *mut bindings::kernel_hwtstamp_config,
    ) -> c_int {
        // SAFETY: Called for a registered device of this driver with a valid structure.
        let (this, config) = unsafe { (Self::of(dev), &mut *config) };
        let stamping = this.control.lock().stamping;
        Self::put_stamping(config, stamping);
        0
    }

    pub(super) extern "C" fn ndo_hwtstamp_set(
        dev: *mut bindings::net_device,
        config: *mut bindings::kernel_hwtstamp_config,
        _ack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: As for `ndo_hwtstamp_get`.
        let (this, config) = unsafe { (Self::of(dev), &mut *config) };
        from_result(|| {
            let timer = this.chip.timer().ok_or(EOPNOTSUPP)?;
            // CAST: What is negative is no filter, either.
            let stamping = Stamping {
                tx: match config.tx_type as u32 {
                    bindings::hwtstamp_tx_types_HWTSTAMP_TX_OFF => false,
                    bindings::hwtstamp_tx_types_HWTSTAMP_TX_ON => true,
                    _ => return Err(ERANGE),
                },
                rx: RxFilter::covering(config.rx_filter as u32).ok_or(ERANGE)?,
            };
            let mut control = this.control.lock();
            this.restore_if_needed(&mut control, false)?;
            let before = core::mem::replace(&mut control.stamping, stamping);
            Self::put_stamping(config, stamping);
            if before == stamping {
                return Ok(0);
            }
            // Nobody asks for a stamp any more before the device stops giving them.
            let request = {
                let mut state = this.ptp.state.lock();
                state.stamping.tx &= stamping.tx;
                if stamping.tx {
                    None
                } else {
                    Self::end_request(&mut state)
                }
            };
            drop(request);
            timer.set_stamping(stamping);
            let mut state = this.ptp.state.lock();
            state.stamping = stamping;
            if before.rx == RxFilter::None {
                // Of nothing that is in the ring: such packets keep theirs.
                state.unread = None;
                this.on_timer(&state, |timer| timer.take_rx_stamp());
            }
            Ok(0)
        })
    }

    fn put_stamping(config: &mut bindings::kernel_hwtstamp_config, stamping: Stamping) {
        // CAST: Small numbers.
        config.tx_type = if stamping.tx {
            bindings::hwtstamp_tx_types_HWTSTAMP_TX_ON
        } else {
            bindings::hwtstamp_tx_types_HWTSTAMP_TX_OFF
        } as c_int;
        config.rx_filter = stamping.rx.number() as c_int;
    }

    pub(super) extern "C" fn get_ts_info(
        dev: *mut bindings::net_device,
        info: *mut bindings::kernel_ethtool_ts_info,
    ) -> c_int {
        // SAFETY: As for `ndo_hwtstamp_get`.
        let (this, info) = unsafe { (Self::of(dev), &mut *info) };
        // CAST: A small number, or -1.
        info.phc_index = this.ptp.index.get() as c_int - 1;
        info.so_timestamping = bindings::COMPSC_TIMESTAMPING;
        info.tx_types = 1 << bindings::hwtstamp_tx_types_HWTSTAMP_TX_OFF
            | 1 << bindings::hwtstamp_tx_types_HWTSTAMP_TX_ON;
        info.rx_filters = RxFilter::ALL;
        0
    }

    pub(super) extern "C" fn get_ts_stats(
        dev: *mut bindings::net_device,
        stats: *mut bindings::ethtool_ts_stats,
    ) {
        // SAFETY: As for `ndo_hwtstamp_get`.
        let (this, stats) = unsafe { (Self::of(dev), &mut *stats) };
        let counts = this.ptp.state.lock().counts;
        // SAFETY: Both members of the union are the same fields (`struct_group`).
        let stats = unsafe { &mut stats.__bindgen_anon_1.tx_stats };
        stats.pkts = counts.sent;
        stats.lost = counts.timeouts;
        stats.err = counts.skipped;
    }
}

impl<C: Chip> Stamps for Adapter<C> {
    #[cold]
    #[inline(never)]
    fn received(&self) -> Option<u64> {
        let mut state = self.ptp.state.lock();
        let stamp = self.on_timer(&state, |timer| timer.take_rx_stamp());
        let count = stamp.flatten()?;
        state.unread = None;
        state.clock.at(count)
    }

    #[cold]
    #[inline(never)]
    fn sending(&self, skb: &mut Skb) -> u32 {
        let stamped = C::PHYSICAL && skb.wants_hardware_stamp() && self.request_stamp(skb);
        skb.report_sending();
        if stamped {
            DCMD_TSTAMP
        } else {
            0
        }
    }

    #[cold]
    #[inline(never)]
    fn dropped(&self, skb: &Skb) {
        let mut state = self.ptp.state.lock();
        let request = state
            .request
            .take_if(|request| request.skb.as_raw() == skb.as_raw());
        drop(state);
        drop(request);
    }
}

/// The clock as users see it (`/dev/ptpN`). Dropping it waits for those who use it.
#[pin_data(PinnedDrop)]
pub(super) struct Phc<C: Chip> {
    #[pin]
    info: Opaque<bindings::ptp_clock_info>,
    adapter: *const Adapter<C>,
    clock: *mut bindings::ptp_clock,
}

// SAFETY: The C functions do their own locking, and adapters may be shared.
unsafe impl<C: Chip> Send for Phc<C> {}
// SAFETY: As above.
unsafe impl<C: Chip> Sync for Phc<C> {}

impl<C: Chip> Phc<C> {
    const INFO: bindings::ptp_clock_info = {
        let mut info: bindings::ptp_clock_info = pin_init::zeroed();
        info.max_adj = MAX_PPB;
        info.adjfine = Some(Self::adjfine);
        info.adjtime = Some(Self::adjtime);
        info.gettimex64 = Some(Self::gettimex64);
        info.settime64 = Some(Self::settime64);
        info
    };

    /// Makes the clock of an adapter, which must outlive it, unless the chip has none, or the kernel.
    pub(super) fn register(adapter: &Adapter<C>) -> Result<Option<Pin<KBox<Self>>>> {
        if adapter.chip.timer().is_none() {
            return Ok(None);
        }
        let mut info = Self::INFO;
        for (to, from) in info.name.iter_mut().zip(C::NAME.to_bytes()) {
            *to = *from;
        }
        // SAFETY: The function is bound, hence its device has a driver.
        info.owner = unsafe { bindings::compsc_driver_owner(adapter.function.device_raw()) };
        let mut phc = KBox::pin(
            Self {
                info: Opaque::new(info),
                adapter,
                clock: core::ptr::null_mut(),
            },
            GFP_KERNEL,
        )?;
        // SAFETY: The structure is pinned and complete. It stays until the clock is unregistered, in `drop`.
        let clock =
            unsafe { bindings::ptp_clock_register(phc.info.get(), adapter.function.device_raw()) };
        let Some(clock) = NonNull::new(from_err_ptr(clock)?) else {
            return Ok(None);
        };
        *phc.as_mut().project().clock = clock.as_ptr();
        // CAST: A small number.
        // SAFETY: The clock was registered.
        let index = unsafe { bindings::ptp_clock_index(clock.as_ptr()) } as u32;
        adapter.ptp.index.set(index + 1);
        Ok(Some(phc))
    }

    /// The adapter behind a clock.
    ///
    /// # Safety
    ///
    /// `info` is that of a registered [`Phc`], which stays so for the returned lifetime.
    unsafe fn of<'a>(info: *mut bindings::ptp_clock_info) -> &'a Adapter<C> {
        // SAFETY: `register` handed in this member of a pinned structure, and its adapter outlives it.
        unsafe {
            let phc = kernel::container_of!(Opaque::cast_from(info), Self, info);
            &*(*phc).adapter
        }
    }

    extern "C" fn gettimex64(
        info: *mut bindings::ptp_clock_info,
        time: *mut bindings::timespec64,
        around: *mut bindings::ptp_system_timestamp,
    ) -> c_int {
        // SAFETY: Called for a registered clock.
        let this = unsafe { Self::of(info) };
        let ns = this.read_clock(&mut this.ptp.state.lock(), Around(around));
        // CAST: Both fit.
        let now = bindings::timespec64 {
            tv_sec: (ns / NS_PER_S) as i64,
            tv_nsec: (ns % NS_PER_S) as c_long,
        };
        // SAFETY: The caller passes room for a time.
        unsafe { time.write(now) };
        0
    }

    extern "C" fn settime64(
        info: *mut bindings::ptp_clock_info,
        time: *const bindings::timespec64,
    ) -> c_int {
        // SAFETY: As for `gettimex64`; the caller passes a valid time.
        let (this, time) = unsafe { (Self::of(info), time.read()) };
        // CAST: The stack has checked that it is a time since 1970.
        let ns = (time.tv_sec as u64)
            .wrapping_mul(NS_PER_S)
            .wrapping_add(time.tv_nsec as u64);
        let mut state = this.ptp.state.lock();
        this.settle_clock(&mut state);
        state.clock.set(ns);
        0
    }

    extern "C" fn adjtime(info: *mut bindings::ptp_clock_info, delta: i64) -> c_int {
        // SAFETY: As for `gettimex64`.
        let this = unsafe { Self::of(info) };
        this.ptp.state.lock().clock.adjust(delta);
        0
    }

    extern "C" fn adjfine(info: *mut bindings::ptp_clock_info, scaled_ppm: c_long) -> c_int {
        // SAFETY: As for `gettimex64`.
        let this = unsafe { Self::of(info) };
        // CAST: The same width, or wider.
        let increment = increment(scaled_ppm as i64);
        let mut state = this.ptp.state.lock();
        let readings = this.on_timer(&state, |timer| {
            let before = Reading::take(timer, Around::NOBODY)?;
            timer.set_increment(increment);
            Some((before, Reading::take(timer, Around::NOBODY)?))
        });
        match readings.flatten() {
            Some((before, after)) => {
                state.clock.read(before.count, before.system);
                // The emulator's count jumps with its increment.
                let window = after.after.saturating_sub(before.before);
                state
                    .clock
                    .tuned(increment, after.count, after.system, window);
            }
            // The restore writes it.
            None => state.clock.tune_without_device(increment, system()),
        }
        0
    }
}

#[pinned_drop]
impl<C: Chip> PinnedDrop for Phc<C> {
    fn drop(self: Pin<&mut Self>) {
        if !self.clock.is_null() {
            // SAFETY: Registered by `register`. No function of the clock is called any more afterwards.
            unsafe { bindings::ptp_clock_unregister(self.clock) };
        }
    }
}

// Pure code numbers filters as the kernel does.
const _: () = {
    assert!(filter::NONE == bindings::hwtstamp_rx_filters_HWTSTAMP_FILTER_NONE);
    assert!(filter::V1_L4_SYNC == bindings::hwtstamp_rx_filters_HWTSTAMP_FILTER_PTP_V1_L4_SYNC);
    assert!(
        filter::V1_L4_DELAY_REQ
            == bindings::hwtstamp_rx_filters_HWTSTAMP_FILTER_PTP_V1_L4_DELAY_REQ
    );
    assert!(filter::V2_L4_EVENT == bindings::hwtstamp_rx_filters_HWTSTAMP_FILTER_PTP_V2_L4_EVENT);
    assert!(filter::V2_EVENT == bindings::hwtstamp_rx_filters_HWTSTAMP_FILTER_PTP_V2_EVENT);
    assert!(filter::V2_DELAY_REQ == bindings::hwtstamp_rx_filters_HWTSTAMP_FILTER_PTP_V2_DELAY_REQ);
};
