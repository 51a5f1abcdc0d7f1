// SPDX-License-Identifier: GPL-2.0

//! The device as a whole: entry points, register dispatch, register classes.
//!
//! # Registers of the model
//!
//! The last 16 bytes of the PF's register space, reserved in the silicon, show the model to tests in
//! strict mode only: MODEL_ID (0x1FFF0) reads 0x82599001, MODEL_VIOLATIONS (0x1FFF4) the number of
//! violations of all functions since the device was made, MODEL_LAST (0x1FFF8) the offset of the latest.

use crate::PF_SPACE;
use crate::POOLS;
use crate::QUEUES;
use crate::VF_SPACE;
use crate::eeprom::Eeprom;
use crate::fdir::FlowDirector;
use crate::irq::Interrupts;
use crate::mac::Mac;
use crate::mailbox::Mailbox;
use crate::ptp::Clock;
use crate::regs;
use crate::regs::Class;
use crate::regs::at;
use crate::rx::RxQueue;
use crate::sfp::Sfp;
use crate::tx;
use crate::tx::TxQueue;
use crate::vf::VfState;

/// One PCI function of the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// The physical function.
    Pf,
    /// A virtual function, counted from 0.
    Vf(u8),
}

/// What surrounds the device. Addresses and lengths come from the guest: any value may arrive.
pub trait Host {
    /// Reads guest memory as `function`. False if the access was refused; `data` is then unspecified.
    fn dma_read(&mut self, function: Function, address: u64, data: &mut [u8]) -> bool;
    /// Writes guest memory as `function`. False if the access was refused.
    fn dma_write(&mut self, function: Function, address: u64, data: &[u8]) -> bool;
    /// Sends the MSI-X message of a vector.
    fn interrupt(&mut self, function: Function, vector: u16);
    /// Sets the PF's level of INTA#, or of MSI; used unless GPIE selects MSI-X.
    fn pin(&mut self, asserted: bool);
    /// Puts a frame on the wire.
    fn send(&mut self, frame: &[u8]);
    /// The time in nanoseconds, never going back.
    fn now(&mut self) -> u64;
    /// Asks for [`Device::timer`] at `time`. Replaces an earlier request.
    fn wake_at(&mut self, time: u64);
    /// A frame that [`Device::receive`] refused may be offered again.
    fn receive_again(&mut self);
    /// Reports a violation (strict or trace mode).
    fn report(&mut self, violation: &Violation);
}

/// What a guest did against the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Access to a reserved register.
    Reserved,
    /// Write to a read-only register.
    ReadOnly,
    /// Write of reserved bits.
    ReservedBits,
    /// Not a dword, or not aligned.
    Size,
    /// A ring or descriptor that the hardware does not define.
    Descriptor,
    /// Guest memory refused an access.
    Dma,
}

/// A violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Who.
    pub function: Function,
    /// Register offset; for [`Problem::Descriptor`] and [`Problem::Dma`] the queue.
    pub offset: u32,
    /// Value written, if any.
    pub value: u32,
    /// What.
    pub problem: Problem,
    /// Datasheet name of the register, or "".
    pub name: &'static str,
}

/// What became of an offered frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// Stored, filtered or dropped.
    Taken,
    /// There is no descriptor for it now; [`Host::receive_again`] tells when to offer it again.
    Later,
}

/// Settings.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// MAC address in the EEPROM.
    pub mac: [u8; 6],
    /// Violations are counted and reported as guest errors.
    pub strict: bool,
    /// Every access without effect is reported.
    pub trace: bool,
    /// Factor on the intervals of interrupt moderation; 1 is the silicon, 0 is none. An emulated processor takes
    /// far longer over an interrupt than the one that a driver's intervals are made for.
    pub eitr_scale: u32,
}

/// The device.
#[derive(Debug)]
pub struct Device {
    pub(crate) config: Config,
    index: regs::Index,
    regs: Box<[u32]>,
    pub(crate) mac: Mac,
    pub(crate) eeprom: Eeprom,
    pub(crate) sfp: Sfp,
    pub(crate) irq: Interrupts,
    pub(crate) mailboxes: Box<[Mailbox]>,
    pub(crate) rx: Box<[RxQueue]>,
    pub(crate) tx: Box<[TxQueue]>,
    pub(crate) vfs: Box<[VfState]>,
    pub(crate) fdir: FlowDirector,
    /// 5-tuple filters that are enabled.
    pub(crate) five_tuples: u128,
    pub(crate) clock: Clock,
    /// VFs that the PCI capability has enabled.
    pub(crate) num_vfs: u8,
    /// Queues with a new cause, raised when the current call ends.
    pub(crate) rx_done: u128,
    pub(crate) tx_done: u128,
    /// Receive queues with a packet that is being coalesced.
    pub(crate) rsc_queues: u128,
    /// Transmit queues that wait for room in a receive queue, or for their next turn.
    pub(crate) tx_waiting: u128,
    /// Descriptors and frames of the queue that is being worked off.
    pub(crate) tx_work: u32,
    /// Whether a frame from the wire was refused.
    pub(crate) wire_waiting: bool,
    pub(crate) tx_buffer: Box<[u8]>,
    pub(crate) segment_buffer: Box<[u8]>,
    wake: u64,
    violations: u32,
    last_violation: u32,
}

impl Device {
    /// A device after power-on.
    pub fn new(config: Config) -> Self {
        let mut device = Self {
            config,
            index: regs::Index::new(),
            regs: vec![0; (PF_SPACE / 4) as usize].into_boxed_slice(),
            mac: Mac::default(),
            eeprom: Eeprom::new(),
            sfp: Sfp::default(),
            irq: Interrupts::default(),
            mailboxes: vec![Mailbox::default(); POOLS].into_boxed_slice(),
            rx: vec![RxQueue::default(); QUEUES].into_boxed_slice(),
            tx: vec![TxQueue::default(); QUEUES].into_boxed_slice(),
            vfs: vec![VfState::default(); POOLS].into_boxed_slice(),
            fdir: FlowDirector::new(),
            five_tuples: 0,
            clock: Clock::default(),
            num_vfs: 0,
            rx_done: 0,
            tx_done: 0,
            rsc_queues: 0,
            tx_waiting: 0,
            tx_work: 0,
            wire_waiting: false,
            tx_buffer: vec![0; tx::BUFFER].into_boxed_slice(),
            segment_buffer: vec![0; tx::SEGMENT_BUFFER].into_boxed_slice(),
            wake: u64::MAX,
            violations: 0,
            last_violation: 0,
        };
        device.power_on();
        device
    }

    /// Violations since the device was made.
    pub fn violations(&self) -> u32 {
        self.violations
    }

    /// Reads a dword of a function's register space.
    pub fn read<H: Host>(&mut self, host: &mut H, function: Function, offset: u32) -> u32 {
        if offset % 4 != 0 {
            self.violation(host, function, offset, 0, Problem::Size, "");
            return 0;
        }
        let value = match function {
            Function::Pf if offset < PF_SPACE => self.pf_read(host, regs::canonical(offset)),
            Function::Vf(n) if offset < VF_SPACE && usize::from(n) < POOLS => {
                self.vf_read(host, n, offset)
            }
            _ => 0,
        };
        self.settle(host);
        value
    }

    /// Writes a dword of a function's register space.
    pub fn write<H: Host>(&mut self, host: &mut H, function: Function, offset: u32, value: u32) {
        if offset % 4 != 0 {
            self.violation(host, function, offset, value, Problem::Size, "");
            return;
        }
        match function {
            Function::Pf if offset < PF_SPACE => {
                self.pf_write(host, regs::canonical(offset), value)
            }
            Function::Vf(n) if offset < VF_SPACE && usize::from(n) < POOLS => {
                self.vf_write(host, n, offset, value)
            }
            _ => {}
        }
        self.settle(host);
    }

    /// Offers a frame from the wire, without the frame check sequence.
    pub fn receive<H: Host>(&mut self, host: &mut H, frame: &[u8]) -> Receive {
        let result = self.wire_receive(host, frame);
        self.settle(host);
        result
    }

    /// The time asked for by [`Host::wake_at`] has come.
    pub fn timer<H: Host>(&mut self, host: &mut H) {
        self.wake = u64::MAX;
        let now = host.now();
        self.rsc_timer(host, now);
        self.irq_timer(host, now);
        self.resume_transmit(host);
        self.settle(host);
        self.offer_again(host);
    }

    /// The cable was plugged in or out.
    pub fn set_cable<H: Host>(&mut self, host: &mut H, connected: bool) {
        self.mac.cable = connected;
        self.update_link(host);
        self.settle(host);
    }

    /// The PCI capability has `count` VFs enabled. Call it when that may have changed.
    pub fn set_num_vfs(&mut self, count: u16) {
        self.num_vfs = count.min(POOLS as u16) as u8;
    }

    /// VFs enabled.
    pub fn num_vfs(&self) -> u8 {
        self.num_vfs
    }

    /// Bus mastering of a function was switched on.
    pub fn bus_master<H: Host>(&mut self, host: &mut H) {
        self.tx_waiting = !0;
        self.resume_transmit(host);
        self.settle(host);
        self.wire_waiting = true;
        self.offer_again(host);
    }

    pub(crate) fn reg(&self, offset: u32) -> u32 {
        self.regs[(offset / 4) as usize]
    }

    pub(crate) fn set_reg(&mut self, offset: u32, value: u32) {
        self.regs[(offset / 4) as usize] = value;
    }

    pub(crate) fn reset_registers(&mut self) {
        for reg in regs::MAP {
            for i in 0..reg.count {
                self.regs[((reg.base + i * reg.stride) / 4) as usize] = reg.reset;
            }
        }
    }

    pub(crate) fn violation<H: Host>(
        &mut self,
        host: &mut H,
        function: Function,
        offset: u32,
        value: u32,
        problem: Problem,
        name: &'static str,
    ) {
        if self.config.strict {
            self.violations = self.violations.wrapping_add(1);
            self.last_violation = offset;
        }
        if self.config.strict || self.config.trace {
            host.report(&Violation {
                function,
                offset,
                value,
                problem,
                name,
            });
        }
    }

    /// Asks for a call of [`Device::timer`] at `time` at the latest.
    pub(crate) fn want_wake<H: Host>(&mut self, host: &mut H, time: u64) {
        if time < self.wake {
            self.wake = time;
            host.wake_at(time);
        }
    }

    /// Raises what the queues have collected.
    fn settle<H: Host>(&mut self, host: &mut H) {
        while self.rx_done != 0 {
            let q = self.rx_done.trailing_zeros() as usize;
            self.rx_done &= self.rx_done - 1;
            self.raise_queue(host, q, false);
        }
        while self.tx_done != 0 {
            let q = self.tx_done.trailing_zeros() as usize;
            self.tx_done &= self.tx_done - 1;
            self.raise_queue(host, q, true);
        }
    }

    /// Tells the host that a refused frame may come again.
    pub(crate) fn offer_again<H: Host>(&mut self, host: &mut H) {
        if self.wire_waiting {
            self.wire_waiting = false;
            host.receive_again();
        }
    }

    fn pf_read<H: Host>(&mut self, host: &mut H, offset: u32) -> u32 {
        match offset {
            0x1000..0x2000 => {
                return self.rx_read(host, ((offset - 0x1000) / 0x40) as usize, offset % 0x40);
            }
            0xD000..0xE000 => {
                return self.rx_read(
                    host,
                    64 + ((offset - 0xD000) / 0x40) as usize,
                    offset % 0x40,
                );
            }
            0x6000..0x8000 => {
                return self.tx_read(host, ((offset - 0x6000) / 0x40) as usize, offset % 0x40);
            }
            at::MODEL_ID if self.config.strict => return 0x8259_9001,
            at::MODEL_VIOLATIONS if self.config.strict => return self.violations,
            at::MODEL_LAST if self.config.strict => return self.last_violation,
            _ => {}
        }
        let Some(reg) = self.index.get(offset) else {
            self.violation(host, Function::Pf, offset, 0, Problem::Reserved, "");
            return 0;
        };
        match reg.class {
            Class::Reserved | Class::Wo => return 0,
            Class::Rc => {
                let value = self.reg(offset);
                self.set_reg(offset, 0);
                return value;
            }
            Class::RcHigh => {
                let value = self.reg(offset);
                self.set_reg(offset, 0);
                self.set_reg(offset - 4, 0);
                return value;
            }
            Class::Rw | Class::Ro | Class::RcLow | Class::W1c => {}
        }
        match offset {
            at::STATUS => self.status(),
            at::ESDP => self.esdp(),
            at::LINKS => self.links(),
            at::FRTIMER => (host.now() / 1000) as u32,
            at::I2CCTL => self.sfp.read(),
            at::EEC => self.eec(),
            at::SWSM => self.swsm_read(),
            at::VFLRE0 => self.vflre(0),
            at::VFLRE1 => self.vflre(1),
            at::VFLREC..0x0708 => 0,
            at::PFMAILBOX..0x4C00 => self.pf_mailbox_read((offset - at::PFMAILBOX) / 4),
            at::PFMBMEM..0x1_4000 => {
                self.mailbox_word((offset - at::PFMBMEM) / 64, offset % 64 / 4)
            }
            at::PFMBICR..0x0720 => self.pfmbicr((offset - at::PFMBICR) / 4),
            0x0800..0x0900 | 0x0A90..0x0AE0 => self.irq_read(host, offset),
            at::SYSTIML
            | at::SYSTIMH
            | at::TSYNCRXCTL
            | at::TSYNCTXCTL
            | at::RXSTMPH
            | at::TXSTMPH => self.clock_read(host, offset),
            at::RTTBCNRC => self.rate_read(),
            0x8300..0x8600 => self.pf_vf_counter(offset),
            _ => self.reg(offset),
        }
    }

    fn pf_write<H: Host>(&mut self, host: &mut H, offset: u32, value: u32) {
        match offset {
            0x1000..0x2000 => {
                return self.rx_write(
                    host,
                    Function::Pf,
                    ((offset - 0x1000) / 0x40) as usize,
                    offset % 0x40,
                    value,
                );
            }
            0xD000..0xE000 => {
                return self.rx_write(
                    host,
                    Function::Pf,
                    64 + ((offset - 0xD000) / 0x40) as usize,
                    offset % 0x40,
                    value,
                );
            }
            0x6000..0x8000 => {
                return self.tx_write(
                    host,
                    Function::Pf,
                    ((offset - 0x6000) / 0x40) as usize,
                    offset % 0x40,
                    value,
                );
            }
            _ => {}
        }
        let Some(reg) = self.index.get(offset) else {
            self.violation(host, Function::Pf, offset, value, Problem::Reserved, "");
            return;
        };
        if matches!(
            reg.class,
            Class::Ro | Class::Rc | Class::RcLow | Class::RcHigh | Class::Reserved
        ) {
            self.violation(
                host,
                Function::Pf,
                offset,
                value,
                Problem::ReadOnly,
                reg.name,
            );
            return;
        }
        // A bit that clears may always be written 1: the drivers clear with all ones.
        if value & !reg.mask != 0 && reg.class == Class::Rw {
            self.violation(
                host,
                Function::Pf,
                offset,
                value,
                Problem::ReservedBits,
                reg.name,
            );
        }
        let value = value & reg.mask;
        match offset {
            at::CTRL | 0x0004 => self.ctrl_write(host, value),
            at::CTRL_EXT => self.ctrl_ext_write(host, value),
            at::I2CCTL => self.sfp.write(value),
            at::AUTOC => self.autoc_write(host, value),
            at::MSCA => self.msca_write(value),
            at::EERD => self.eerd_write(value),
            at::EEWR => self.eewr_write(value),
            at::EEC => self.set_reg(offset, value),
            at::SWSM => self.set_reg(offset, value),
            at::VFLREC..0x0708 => self.vflrec_write((offset - at::VFLREC) / 4, value),
            at::PFMAILBOX..0x4C00 => {
                self.pf_mailbox_write(host, (offset - at::PFMAILBOX) / 4, value)
            }
            at::PFMBMEM..0x1_4000 => {
                self.set_mailbox_word((offset - at::PFMBMEM) / 64, offset % 64 / 4, value);
            }
            at::PFMBICR..0x0720 => self.pfmbicr_write((offset - at::PFMBICR) / 4, value),
            0x0800..0x0900 | 0x0A90..0x0AE0 | at::EITR_HIGH..0x1_2500 => {
                self.irq_write(host, offset, value)
            }
            at::SYSTIML | at::SYSTIMH | at::TIMINCA => self.clock_write(host, offset, value),
            at::RDRXCTL => self.set_reg(offset, value | regs::RDRXCTL_DMAIDONE),
            at::QDE => self.qde_write(value),
            at::FTQF..at::L34T_IMIR => self.ftqf_write(offset, value),
            at::FDIRCTRL..0xEE80 => self.fdir_write(host, offset, value),
            at::RTTBCNRC => self.rate_write(host, value),
            at::HLREG0 => {
                self.set_reg(offset, value);
                self.resume_all(host);
            }
            at::RXCTRL | at::SECRXCTRL | at::DMATXCTL | at::VFTE | 0x8114 | at::VFRE | 0x51E4 => {
                self.set_reg(offset, value);
                self.resume_all(host);
            }
            _ if reg.class == Class::W1c => {
                let old = self.reg(offset);
                self.set_reg(offset, old & !value);
            }
            _ if reg.class == Class::Wo => {}
            _ => self.set_reg(offset, value),
        }
    }

    /// Something was enabled: whatever waited may go on.
    pub(crate) fn resume_all<H: Host>(&mut self, host: &mut H) {
        self.tx_waiting = !0;
        self.resume_transmit(host);
        self.offer_again(host);
    }
}
