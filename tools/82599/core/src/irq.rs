// SPDX-License-Identifier: GPL-2.0

//! Interrupts (datasheet 7.3 and 8.2.3.5): causes, masks, automatic clear and mask, moderation, vectors.
//!
//! With GPIE.Multiple_MSIX, IVAR maps a queue to one of 64 causes, and cause n is MSI-X vector n; causes 0 to
//! 15 are EICR bits 0 to 15. IVAR_MISC maps all other causes (EICR bits 16 to 29) to one vector. Without it, IVAR
//! maps to EICR bits 0 to 15 and everything is one level.

use crate::PF_VECTORS;
use crate::VF_VECTORS;
use crate::device::Device;
use crate::device::Function;
use crate::device::Host;
use crate::regs::at;

/// EICR.Flow Director: its table is nearly full.
pub const FLOW_DIRECTOR: u32 = 1 << 16;
/// EICR.Mailbox.
pub const MAILBOX: u32 = 1 << 19;
/// EICR.LSC.
pub const LSC: u32 = 1 << 20;
/// EICR.RX Miss.
pub const RX_MISS: u32 = 1 << 17;

/// EICR bits that are no queue's: 16 to 29 share a vector, bit 30 (TCP timer) has its own.
const OTHER: u32 = 0x3FFF_0000;
const TCP_TIMER: u32 = 1 << 30;
const GPIE_MSIX: u32 = 1 << 4;
const GPIE_OCD: u32 = 1 << 5;
const GPIE_EIAME: u32 = 1 << 30;
const EITR_CNT_WDIS: u32 = 1 << 31;
/// Unit of EITR's interval (bits 11:3) at 10 Gb/s.
const INTERVAL_NS: u64 = 2000;
/// Slot of the moderation timers that stands for a VF's vector.
const VF_BASE: usize = PF_VECTORS;

/// Interrupt state of the PF, and the moderation of all vectors.
#[derive(Clone, Debug)]
pub struct Interrupts {
    /// Queue causes: bit n is vector n.
    pending: u64,
    mask: u64,
    auto_mask: u64,
    /// EICR bits 16 to 30.
    other: u32,
    other_mask: u32,
    other_auto_mask: u32,
    level: bool,
    /// Earliest time of a vector's next message: the PF's, then three of each VF.
    next: Box<[u64]>,
    /// Vectors whose message waits for that time.
    deferred: u64,
    deferred_vf: [u64; VF_VECTORS],
}

impl Default for Interrupts {
    fn default() -> Self {
        Self {
            pending: 0,
            mask: 0,
            auto_mask: 0,
            other: 0,
            other_mask: 0,
            other_auto_mask: 0,
            level: false,
            next: vec![0; PF_VECTORS + crate::POOLS * VF_VECTORS].into_boxed_slice(),
            deferred: 0,
            deferred_vf: [0; VF_VECTORS],
        }
    }
}

impl Interrupts {
    /// Back to the state after a reset of the PF. Keeps the memory.
    pub(crate) fn reset(&mut self) {
        let mut next = core::mem::take(&mut self.next);
        next.fill(0);
        let level = self.level;
        *self = Self {
            next,
            level,
            ..Self::empty()
        };
    }

    fn empty() -> Self {
        Self {
            pending: 0,
            mask: 0,
            auto_mask: 0,
            other: 0,
            other_mask: 0,
            other_auto_mask: 0,
            level: false,
            next: Box::default(),
            deferred: 0,
            deferred_vf: [0; VF_VECTORS],
        }
    }

    pub(crate) fn reset_vf(&mut self, n: usize) {
        for (v, deferred) in self.deferred_vf.iter_mut().enumerate() {
            *deferred &= !(1 << n);
            self.next[VF_BASE + n * VF_VECTORS + v] = 0;
        }
    }
}

/// Replaces the low or high half of a register pair.
fn half(value: u64, word: u32, high: bool) -> u64 {
    if high {
        value & 0xFFFF_FFFF | u64::from(word) << 32
    } else {
        value & !0xFFFF_FFFF | u64::from(word)
    }
}

fn word(value: u64, high: bool) -> u32 {
    (value >> (32 * u32::from(high))) as u32
}

impl Device {
    fn msix(&self) -> bool {
        self.reg(at::GPIE) & GPIE_MSIX != 0
    }

    fn eitr(&self, vector: usize) -> u32 {
        let n = vector as u32;
        self.reg(if n < 24 {
            at::EITR + 4 * n
        } else {
            at::EITR_HIGH + 4 * (n - 24)
        })
    }

    /// Whether a vector's message may go out now. If not, it is sent later.
    fn moderate<H: Host>(&mut self, host: &mut H, slot: usize, eitr: u32) -> bool {
        let scale = u64::from(self.config.eitr_scale);
        let interval = u64::from(eitr >> 3 & 0x1FF) * INTERVAL_NS * scale;
        if interval == 0 {
            return true;
        }
        let now = host.now();
        if now >= self.irq.next[slot] {
            self.irq.next[slot] = now + interval;
            return true;
        }
        if slot < VF_BASE {
            self.irq.deferred |= 1 << slot;
        } else {
            let (n, v) = ((slot - VF_BASE) / VF_VECTORS, (slot - VF_BASE) % VF_VECTORS);
            self.irq.deferred_vf[v] |= 1 << n;
        }
        let time = self.irq.next[slot];
        self.want_wake(host, time);
        false
    }

    /// A queue has something to report.
    pub(crate) fn raise_queue<H: Host>(&mut self, host: &mut H, q: usize, transmit: bool) {
        if let Some((n, local)) = self.queue_owner(q) {
            return self.vf_raise_queue(host, n, local, transmit);
        }
        let ivar = self.reg(at::IVAR + 4 * (q as u32 / 2));
        let entry = ivar >> (16 * (q & 1) + 8 * usize::from(transmit));
        if entry & 0x80 == 0 {
            return;
        }
        let vector = (entry & 0x3F) as usize;
        if self.msix() {
            self.irq.pending |= 1 << vector;
            self.fire(host, vector);
        } else {
            self.irq.pending |= 1 << (vector & 0xF);
            self.update_pin(host);
        }
    }

    /// Causes outside of the queues.
    pub(crate) fn raise_other<H: Host>(&mut self, host: &mut H, bits: u32) {
        self.irq.other |= bits & (OTHER | TCP_TIMER);
        self.fire_other(host);
    }

    /// Sends a queue vector's message if its cause is set and not masked.
    fn fire<H: Host>(&mut self, host: &mut H, vector: usize) {
        let bit = 1u64 << vector;
        if self.irq.pending & self.irq.mask & bit == 0 {
            return;
        }
        let eitr = self.eitr(vector);
        if !self.moderate(host, vector, eitr) {
            return;
        }
        // Causes above 15 have no bit in EICR that software could clear.
        if vector >= 16 || self.reg(at::EIAC) & bit as u32 != 0 {
            self.irq.pending &= !bit;
        }
        if self.reg(at::GPIE) & GPIE_EIAME != 0 {
            self.irq.mask &= !(bit & self.irq.auto_mask);
        }
        host.interrupt(Function::Pf, vector as u16);
    }

    fn fire_other<H: Host>(&mut self, host: &mut H) {
        if !self.msix() {
            return self.update_pin(host);
        }
        let active = self.irq.other & self.irq.other_mask;
        for (bits, entry) in [
            (OTHER, self.reg(at::IVAR_MISC) >> 8),
            (TCP_TIMER, self.reg(at::IVAR_MISC)),
        ] {
            if active & bits == 0 || entry & 0x80 == 0 {
                continue;
            }
            let vector = (entry & 0x3F) as usize;
            let eitr = self.eitr(vector);
            if !self.moderate(host, vector, eitr) {
                continue;
            }
            self.irq.other &= !(active & bits & self.reg(at::EIAC));
            if self.reg(at::GPIE) & GPIE_EIAME != 0 {
                self.irq.other_mask &= !(active & bits & self.irq.other_auto_mask);
            }
            host.interrupt(Function::Pf, vector as u16);
        }
    }

    fn update_pin<H: Host>(&mut self, host: &mut H) {
        let active = !self.msix() && self.eicr() & self.eims() != 0;
        if active != self.irq.level {
            self.irq.level = active;
            host.pin(active);
        }
    }

    fn eicr(&self) -> u32 {
        self.irq.pending as u32 & 0xFFFF | self.irq.other
    }

    fn eims(&self) -> u32 {
        self.irq.mask as u32 & 0xFFFF | self.irq.other_mask
    }

    /// Clears causes of EICR.
    fn clear(&mut self, bits: u32) {
        self.irq.pending &= !u64::from(bits & 0xFFFF);
        self.irq.other &= !bits;
    }

    fn unmask<H: Host>(&mut self, host: &mut H, vectors: u64, other: u32) {
        self.irq.mask |= vectors;
        self.irq.other_mask |= other & (OTHER | TCP_TIMER);
        self.evaluate(host, vectors);
    }

    fn evaluate<H: Host>(&mut self, host: &mut H, vectors: u64) {
        if self.msix() {
            let mut ready = self.irq.pending & self.irq.mask & vectors;
            while ready != 0 {
                self.fire(host, ready.trailing_zeros() as usize);
                ready &= ready - 1;
            }
            if self.irq.other & self.irq.other_mask != 0 {
                self.fire_other(host);
            }
        }
        self.update_pin(host);
    }

    pub(crate) fn irq_read<H: Host>(&mut self, host: &mut H, offset: u32) -> u32 {
        match offset {
            at::EICR => {
                let value = self.eicr();
                if self.msix() {
                    // With OCD, a read clears the other causes alone.
                    let clear = if self.reg(at::GPIE) & GPIE_OCD != 0 {
                        OTHER
                    } else {
                        !0
                    };
                    self.clear(clear);
                } else {
                    self.clear(!0);
                    // A read in legacy mode masks what EIAM names.
                    self.irq.mask &= !(self.irq.auto_mask & 0xFFFF & u64::from(value));
                    self.irq.other_mask &= !(self.irq.other_auto_mask & value);
                }
                self.update_pin(host);
                value
            }
            at::EICS => self.eicr(),
            at::EIMS => self.eims(),
            at::EIAM => self.irq.auto_mask as u32 & 0xFFFF | self.irq.other_auto_mask,
            at::EIMS_EX | 0x0AA4 => word(self.irq.mask, offset & 4 != 0),
            at::EIAM_EX | 0x0AD4 => word(self.irq.auto_mask, offset & 4 != 0),
            at::EIMC | at::EICS_EX..at::EIMS_EX | at::EIMC_EX..at::EIAM_EX => 0,
            _ => self.reg(offset),
        }
    }

    pub(crate) fn irq_write<H: Host>(&mut self, host: &mut H, offset: u32, value: u32) {
        let low = u64::from(value & 0xFFFF);
        let high = offset & 4 != 0;
        match offset {
            at::EICR => {
                self.clear(value);
                self.update_pin(host);
            }
            at::EICS => {
                self.irq.pending |= low;
                self.irq.other |= value & (OTHER | TCP_TIMER);
                self.evaluate(host, low);
            }
            at::EIMS => self.unmask(host, low, value),
            at::EIMC => {
                self.irq.mask &= !low;
                self.irq.other_mask &= !value;
                self.update_pin(host);
            }
            at::EIAM => {
                self.irq.auto_mask = self.irq.auto_mask & !0xFFFF | low;
                self.irq.other_auto_mask = value & (OTHER | TCP_TIMER);
            }
            at::EICS_EX | 0x0A94 => {
                let vectors = half(0, value, high);
                self.irq.pending |= vectors;
                self.evaluate(host, vectors);
            }
            at::EIMS_EX | 0x0AA4 => self.unmask(host, half(0, value, high), 0),
            at::EIMC_EX | 0x0AB4 => {
                self.irq.mask &= !half(0, value, high);
                self.update_pin(host);
            }
            at::EIAM_EX | 0x0AD4 => self.irq.auto_mask = half(self.irq.auto_mask, value, high),
            at::GPIE => {
                self.set_reg(offset, value);
                self.update_pin(host);
            }
            0x0820..0x0880 => self.eitr_write(offset, ((offset - at::EITR) / 4) as usize, value),
            at::EITR_HIGH..0x1_2500 => {
                self.eitr_write(offset, 24 + ((offset - at::EITR_HIGH) / 4) as usize, value)
            }
            _ => self.set_reg(offset, value),
        }
    }

    fn eitr_write(&mut self, offset: u32, vector: usize, value: u32) {
        self.set_reg(offset, value & !EITR_CNT_WDIS);
        if value & EITR_CNT_WDIS == 0 && vector < PF_VECTORS {
            self.irq.next[vector] = 0;
        }
    }

    /// Sends the messages whose time has come, and asks for the next.
    pub(crate) fn irq_timer<H: Host>(&mut self, host: &mut H, now: u64) {
        let mut deferred = core::mem::take(&mut self.irq.deferred);
        while deferred != 0 {
            let vector = deferred.trailing_zeros() as usize;
            deferred &= deferred - 1;
            if self.irq.next[vector] > now {
                self.irq.deferred |= 1 << vector;
                let time = self.irq.next[vector];
                self.want_wake(host, time);
                continue;
            }
            let misc = self.reg(at::IVAR_MISC);
            self.fire(host, vector);
            if misc & 0x3F == vector as u32 || misc >> 8 & 0x3F == vector as u32 {
                self.fire_other(host);
            }
        }
        for v in 0..VF_VECTORS {
            let mut deferred = core::mem::take(&mut self.irq.deferred_vf[v]);
            while deferred != 0 {
                let n = deferred.trailing_zeros() as usize;
                deferred &= deferred - 1;
                let time = self.irq.next[VF_BASE + n * VF_VECTORS + v];
                if time > now {
                    self.irq.deferred_vf[v] |= 1 << n;
                    self.want_wake(host, time);
                } else {
                    self.vf_fire(host, n as u8, v);
                }
            }
        }
    }

    /// A VF's queue has something to report; `local` counts the VF's queues.
    fn vf_raise_queue<H: Host>(&mut self, host: &mut H, n: u8, local: usize, transmit: bool) {
        let ivar = self.vfs[usize::from(n)].vtivar[local / 2 % 4];
        let entry = ivar >> (16 * (local & 1) + 8 * usize::from(transmit));
        if entry & 0x80 != 0 {
            self.vf_raise(host, n, entry & 0x3);
        }
    }

    /// A mailbox event for a VF.
    pub(crate) fn vf_raise_mailbox<H: Host>(&mut self, host: &mut H, n: u8) {
        let entry = self.vfs[usize::from(n)].vtivar_misc;
        if entry & 0x80 != 0 {
            self.vf_raise(host, n, entry & 0x3);
        }
    }

    pub(crate) fn vf_raise<H: Host>(&mut self, host: &mut H, n: u8, cause: u32) {
        if cause < VF_VECTORS as u32 {
            self.vfs[usize::from(n)].vteicr |= 1 << cause;
            self.vf_fire(host, n, cause as usize);
        }
    }

    /// Sends a VF vector's message if its cause is set and not masked.
    pub(crate) fn vf_fire<H: Host>(&mut self, host: &mut H, n: u8, vector: usize) {
        let bit = 1u32 << vector;
        let vf = &self.vfs[usize::from(n)];
        if vf.vteicr & vf.vteims & bit == 0 || n >= self.num_vfs {
            return;
        }
        let eitr = vf.vteitr[vector];
        if !self.moderate(host, VF_BASE + usize::from(n) * VF_VECTORS + vector, eitr) {
            return;
        }
        let vf = &mut self.vfs[usize::from(n)];
        vf.vteicr &= !(bit & vf.vteiac);
        vf.vteims &= !(bit & vf.vteiam);
        host.interrupt(Function::Vf(n), vector as u16);
    }

    pub(crate) fn vf_eitr_write(&mut self, n: u8, vector: usize, value: u32) {
        self.vfs[usize::from(n)].vteitr[vector] = value & 0x0FFF_8FF8;
        if value & EITR_CNT_WDIS == 0 {
            self.irq.next[VF_BASE + usize::from(n) * VF_VECTORS + vector] = 0;
        }
    }
}
