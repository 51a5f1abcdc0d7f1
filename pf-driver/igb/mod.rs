// SPDX-License-Identifier: GPL-2.0

//! What is particular to the 82576 PF.
//!
//! | module | unit |
//! |---|---|
//! | `reset` | reset, and the settings that nobody changes |
//! | `queue` | the data path's registers, and which queues are this function's |
//! | `filters` | the registers that follow from the [`Switch`] |
//! | `rss` | distribution by hash |
//! | `link` | PHY, flow control, EEPROM, LEDs |
//! | `nvm` | what the EEPROM says about the board |
//! | `sriov` | virtual functions and their mailboxes |
//! | `stats` | counters |
//! | `time` | the clock, and time stamps of packets |
//!
//! Lock order: the adapter's control lock, then [`Pf::state`].

mod filters;
mod link;
mod nvm;
mod queue;
mod reset;
mod rss;
mod sriov;
mod stats;
mod time;

use compsc::{
    adapter::{
        filters::{
            Filters,
            MAX_UNICAST, //
        },
        port,
        ptp::Timer,
        sriov::Host,
        stats::{
            CounterDesc,
            PortStats, //
        },
        Chip,
        Events,
        Hw, //
    },
    i82576::{
        Rings,
        MAX_USECS, //
    },
    net,
    pci::Function,
    queue::{
        RxRing,
        TxRing, //
    },
    sync::Word32,
};
use compsc_regs::{
    desc::rx::err82576,
    pf82576::*,
    sriov::{
        Refusal,
        Switch, //
    },
};
use kernel::{
    new_mutex,
    prelude::*,
    str::CStr,
    sync::Mutex, //
};

/// Queue pairs without virtual functions, and with them.
const QUEUE_PAIRS: usize = 8;
const POOL_QUEUE_PAIRS: usize = 2;

/// Interval of the other vector in microseconds: bounds what a flood of mailbox messages costs.
const OTHER_USECS: u32 = 20;

/// State that registers do not hold, or that they follow from.
struct State {
    switch: Switch,
    vfs: sriov::Vfs,
    rss: rss::Rss,
    link: link::Link,
    pairs: usize,
    /// What shall wake the machine, if the administrator has chosen.
    wake: Option<u32>,
}

/// An 82576 PF.
pub(crate) struct Pf {
    function: Function,
    rings: Rings<Pf82576>,
    state: Pin<KBox<Mutex<State>>>,
    /// Queue of pair n is the first plus n times the step.
    first_queue: Word32,
    queue_step: Word32,
}

/// What the stack is told when the switch refuses.
fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::NoSuchVf | Refusal::Value => EINVAL,
        Refusal::Address => EADDRINUSE,
        Refusal::Vlans => ENOSPC,
    }
}

impl Pf {
    /// The vectors of this function that are in use, one bit each. The others may be a virtual function's.
    fn vectors(&self, pairs: usize) -> u32 {
        (2 << pairs) - 1
    }

    /// The vectors of queue pairs.
    fn queue_vectors(&self) -> u32 {
        self.vectors(self.state.lock().pairs) & !(1 << Self::OTHER_VECTOR)
    }
}

impl Chip for Pf {
    type Map = Pf82576;
    const NAME: &'static CStr = c"igb_compsc";
    const DESCRIPTION: &'static str = "Intel 82576 physical function";
    const QUEUE_PAIRS: usize = QUEUE_PAIRS;
    const VECTORS: u32 = 1 + QUEUE_PAIRS as u32;
    const OTHER_VECTOR: u32 = 0;
    const RESET_ON_UP: bool = false;
    const PHYSICAL: bool = true;
    const LINK_MS: u64 = 4000;
    const MAX_MTU: u32 = 9216;
    const MAX_UNICAST: usize = MAX_UNICAST;
    const MAX_HASHES: usize = 4096;
    const MAX_USECS: u32 = MAX_USECS;
    const RX_HASH: bool = true;
    const RX_FRAME_ERRORS: u32 = err82576::FRAME;
    const RX_CHECKSUM_ERRORS: u32 = err82576::L4E | err82576::IPE;
    const COUNTERS: &'static [CounterDesc<Self>] = stats::COUNTERS;

    fn new(function: Function, hw: Hw<Pf82576>) -> Result<Self> {
        // In place: it is larger than a stack frame may be.
        let state = init!(State {
            switch: const { Switch::new() },
            vfs <- sriov::Vfs::new(),
            rss: rss::Rss::new(net::rss_key()),
            link: link::Link::new(),
            pairs: 1,
            wake: None,
        });
        let pf = Self {
            function,
            rings: Rings { hw },
            state: KBox::pin_init(new_mutex!(state), GFP_KERNEL)?,
            first_queue: Word32::new(0),
            queue_step: Word32::new(1),
        };
        pf.check_eeprom()
            .inspect_err(|_| dev_err!(function.device(), "the EEPROM's sum is wrong\n"))?;
        Ok(pf)
    }

    fn hw(&self) -> &Hw<Pf82576> {
        &self.rings.hw
    }

    fn queue_vector(pair: usize) -> u32 {
        // CAST: Few queues.
        pair as u32 + 1
    }

    fn queue_pairs(&self) -> usize {
        match self.state.lock().switch.count() {
            0 => QUEUE_PAIRS,
            _ => POOL_QUEUE_PAIRS,
        }
    }

    fn use_queue_pairs(&self, pairs: usize) {
        let mut state = self.state.lock();
        state.pairs = pairs;
        self.apply_mode(&mut state);
    }

    fn reset(&self, keep_log: bool) -> Result<Option<[u8; 6]>> {
        self.reset_device(keep_log).map(Some)
    }

    fn silence(&self) {
        // Nothing can be done about a device that is gone.
        let _ = self.reset_registers(true);
    }

    fn ready(&self) {
        self.announce_ready();
    }

    fn events(&self) -> Events {
        self.handle_events()
    }

    fn refresh(&self) {
        self.refresh_vfs();
    }

    fn host(&self) -> Option<&dyn Host> {
        Some(self)
    }

    fn timer(&self) -> Option<&dyn Timer> {
        Some(self)
    }

    fn port(&self) -> Option<&dyn port::Port> {
        Some(self)
    }

    fn port_stats(value: impl Fn(usize) -> u64) -> PortStats {
        stats::port(value)
    }

    fn mailbox_ns(&self) -> u64 {
        // It has nobody to ask.
        0
    }

    fn request_filters(&self, filters: &Filters, _assigned: Option<[u8; 6]>) -> Result {
        let mut state = self.state.lock();
        let switch = &mut state.switch;
        // A refusal is none of the device's: asking again, as for one that does not answer, would not change it.
        if switch.set_pf_mac(filters.mac).is_err() {
            dev_warn!(
                self.function.device(),
                "the interface's MAC address was given to a virtual function, and is not received\n"
            );
        }
        if !switch.set_pf_vlans(filters.vlans()) {
            dev_warn!(
                self.function.device(),
                "some VLANs do not fit beside the virtual functions' share, and are not received\n"
            );
        }
        self.set_mode(switch, filters);
        self.settle(&mut state);
        Ok(())
    }

    fn request_mac(&self, mac: [u8; 6]) -> Result {
        let mut state = self.state.lock();
        state.switch.set_pf_mac(mac).map_err(refused)?;
        self.settle(&mut state);
        Ok(())
    }

    fn request_vlan(&self, vid: u16, add: bool) -> Result {
        let mut state = self.state.lock();
        state.switch.set_pf_vlan(vid, add).map_err(refused)?;
        self.apply(&state);
        Ok(())
    }

    fn request_rx_mode(&self, filters: &Filters) -> Result {
        let mut state = self.state.lock();
        self.set_mode(&mut state.switch, filters);
        self.settle(&mut state);
        Ok(())
    }

    fn request_max_frame(&self, bytes: u32) -> Result {
        let mut state = self.state.lock();
        state.switch.set_pf_max_frame(bytes);
        self.apply(&state);
        Ok(())
    }

    fn configure_irqs(&self) {
        let pairs = self.state.lock().pairs;
        self.rings.configure_vectors(self.vectors(pairs));
        self.route_queues(pairs);
        // Mailboxes and link do not wait for the queues.
        self.rings.unmask(1 << Self::OTHER_VECTOR);
    }

    fn configure_queue(&self, pair: usize, tx: &TxRing, rx: &RxRing, rx_buffer: u32) {
        self.rings.setup(self.queue(pair), tx, rx, rx_buffer);
    }

    fn heads(&self, pair: usize) -> (u32, u32) {
        self.rings.heads(self.queue(pair))
    }

    fn enable_queue(&self, pair: usize, on: bool) -> Result {
        self.rings.enable(self.queue(pair), on)
    }

    fn wait_queue_enabled(&self, pair: usize) -> Result {
        self.rings.wait_enabled(self.queue(pair), true)
    }

    fn unmask_all(&self) {
        let pairs = self.state.lock().pairs;
        self.rings.unmask(self.vectors(pairs));
    }

    fn mask_all(&self) {
        let pairs = self.state.lock().pairs;
        self.rings.mask(self.vectors(pairs));
        self.rings.hw.write(IMC::from_raw(u32::MAX));
    }

    fn mask_queues(&self) {
        self.rings.mask(self.queue_vectors());
    }

    fn kick_all(&self) {
        let pairs = self.state.lock().pairs;
        self.rings.kick_anew(self.vectors(pairs));
    }

    fn link(&self) -> Option<(u32, bool)> {
        let status = self.rings.hw.read::<STATUS>();
        let up = status.is_set(STATUS::LU);
        self.resolve_pause(up);
        up.then(|| (status.speed_mbps(), status.is_set(STATUS::FD)))
    }

    fn reset_asked(&self) -> bool {
        // It is told by an interrupt, which `events` looks at.
        false
    }
}
