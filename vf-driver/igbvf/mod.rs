// SPDX-License-Identifier: GPL-2.0

//! What is particular to the 82576 VF: its registers, and what its PF understands.

mod queue;
mod stats;

use compsc::{
    adapter::{
        filters::Filters,
        stats::CounterDesc,
        Chip,
        Hw, //
    },
    i82576::{
        Rings,
        MAX_USECS, //
    },
    mailbox::{
        Mailbox,
        MailboxRegs, //
    },
    pci::Function,
    queue::{
        RxRing,
        TxRing, //
    },
    sync::Word64,
};
use compsc_regs::{
    desc::rx::err82576,
    mailbox::{
        clear_to_send,
        reset_answer,
        Answer,
        Message, //
    },
    vf82576::*, //
};
use kernel::{
    prelude::*,
    str::CStr,
    time::{
        Instant,
        Monotonic, //
    },
};

/// Registers and mailbox of an 82576 VF.
pub(crate) struct Vf {
    rings: Rings<Vf82576>,
    mailbox: Mailbox,
    mailbox_ns: Word64,
}

impl MailboxRegs for Vf {
    fn control(&self) -> u32 {
        self.rings.hw.read::<V2PMAILBOX>().raw()
    }

    fn set_control(&self, value: u32) {
        self.rings.hw.write(V2PMAILBOX::from_raw(value));
    }

    fn word(&self, index: usize) -> u32 {
        self.rings.hw.read_at::<VMBMEM>(index).raw()
    }

    fn set_word(&self, index: usize, value: u32) {
        self.rings.hw.write_at(index, VMBMEM::from_raw(value));
    }
}

impl Vf {
    /// Asks the PF for something.
    ///
    /// # Errors
    ///
    /// `EPERM` when the PF refuses, `ETIMEDOUT` or `EBUSY` when it does not answer, `EAGAIN` when the
    /// function was replaced meanwhile.
    fn ask(&self, message: &Message) -> Result<[u32; 3]> {
        match self.mailbox.request(self, message)? {
            (Answer::Ack, words) => Ok(words),
            _ => Err(EPERM),
        }
    }

    /// Asks for something that the PF may refuse without harm.
    fn wish(&self, message: &Message) -> Result {
        match self.ask(message) {
            Err(e) if e != EPERM => Err(e),
            _ => Ok(()),
        }
    }
}

impl Chip for Vf {
    type Map = Vf82576;
    const NAME: &'static CStr = c"igbvf_compsc";
    const DESCRIPTION: &'static str = "Intel 82576 virtual function";
    const QUEUE_PAIRS: usize = 1;
    const VECTORS: u32 = 2;
    /// In the emulator its events arrive at the vector before it, which is the queue pair's: a poll without work. The
    /// service worker looks at the mailbox anyway.
    const OTHER_VECTOR: u32 = 1;
    const MAX_MTU: u32 = 9216;
    const MAX_UNICAST: usize = 3;
    const MAX_HASHES: usize = compsc_regs::mailbox::MAX_HASHES;
    const MAX_USECS: u32 = MAX_USECS;
    const RX_FRAME_ERRORS: u32 = err82576::FRAME;
    const RX_CHECKSUM_ERRORS: u32 = err82576::L4E | err82576::IPE;
    const COUNTERS: &'static [CounterDesc<Self>] = stats::COUNTERS;

    fn new(_function: Function, hw: Hw<Vf82576>) -> Result<Self> {
        Ok(Self {
            mailbox: Mailbox::new(hw.log().gate_word()),
            rings: Rings { hw },
            mailbox_ns: Word64::new(0),
        })
    }

    fn hw(&self) -> &Hw<Vf82576> {
        &self.rings.hw
    }

    fn reset(&self, keep_log: bool) -> Result<Option<[u8; 6]>> {
        if keep_log {
            self.silence();
        } else {
            self.rings.hw.reset(CTRL::zeroed().set(CTRL::RST));
        }
        self.mailbox.forget();
        self.mailbox.wait_pf_ready(self)?;
        let start = Instant::<Monotonic>::now();
        let (answer, words) = self.mailbox.request(self, &Message::reset())?;
        // CAST: Time does not go back.
        self.mailbox_ns
            .set(start.elapsed().as_nanos().max(0) as u64);
        Ok(match answer {
            Answer::Ack => reset_answer(&words),
            _ => None,
        })
    }

    fn silence(&self) {
        self.rings
            .hw
            .reset_for_replay(CTRL::zeroed().set(CTRL::RST));
    }

    fn mailbox_ns(&self) -> u64 {
        self.mailbox_ns.get()
    }

    fn request_filters(&self, filters: &Filters, assigned: Option<[u8; 6]>) -> Result {
        // An address that the host's administrator has set must not be set again: the PF would refuse and complain.
        if assigned != Some(filters.mac) {
            self.wish(&Message::set_mac(filters.mac))?;
        }
        for vid in filters.vlans() {
            self.wish(&Message::set_vlan(vid, true))?;
        }
        self.request_rx_mode(filters)
    }

    fn request_mac(&self, mac: [u8; 6]) -> Result {
        self.ask(&Message::set_mac(mac)).map(|_| ())
    }

    fn request_vlan(&self, vid: u16, add: bool) -> Result {
        self.ask(&Message::set_vlan(vid, add)).map(|_| ())
    }

    fn request_rx_mode(&self, filters: &Filters) -> Result {
        let (message, _) = Message::set_multicast(filters.hashes());
        self.wish(&message)?;
        if filters.had_unicast() {
            self.wish(&Message::clear_mac_filters(filters.mac))?;
        }
        for mac in filters.unicast() {
            self.wish(&Message::add_mac_filter(*mac))?;
        }
        if filters.had_all_multicast() {
            // Needs trust on the PF's side; without it, multicast beyond the hashes is not received.
            self.wish(&Message::set_promisc(filters.all_multicast()))?;
        }
        Ok(())
    }

    fn request_max_frame(&self, bytes: u32) -> Result {
        self.wish(&Message::set_lpe(bytes))
    }

    fn configure_irqs(&self) {
        self.rings.configure_vectors(ALL_CAUSES);
        self.rings
            .hw
            .write(IVAR0::zeroed().with_rx(0, 0).with_tx(0, 0));
        self.rings.hw.write(
            IVAR_MISC::zeroed()
                .with(IVAR_MISC::VECTOR, Self::OTHER_VECTOR)
                .set(IVAR_MISC::VALID),
        );
    }

    fn configure_queue(&self, queue: usize, tx: &TxRing, rx: &RxRing, rx_buffer: u32) {
        self.rings.setup(queue, tx, rx, rx_buffer);
    }

    fn heads(&self, queue: usize) -> (u32, u32) {
        self.rings.heads(queue)
    }

    fn enable_queue(&self, queue: usize, on: bool) -> Result {
        self.rings.enable(queue, on)
    }

    fn wait_queue_enabled(&self, queue: usize) -> Result {
        self.rings.wait_enabled(queue, true)
    }

    fn unmask_all(&self) {
        self.rings.unmask(ALL_CAUSES);
    }

    fn mask_all(&self) {
        self.rings.mask(ALL_CAUSES);
    }

    fn kick_all(&self) {
        self.rings.kick_anew(ALL_CAUSES);
    }

    fn link(&self) -> Option<(u32, bool)> {
        let status = self.rings.hw.read::<STATUS>();
        status
            .is_set(STATUS::LU)
            .then(|| (status.speed_mbps(), status.is_set(STATUS::FD)))
    }

    fn reset_asked(&self) -> bool {
        self.mailbox.pf_was_reset(self)
            || self
                .mailbox
                .unsolicited(self)
                .is_some_and(|first| !clear_to_send(first))
    }
}
