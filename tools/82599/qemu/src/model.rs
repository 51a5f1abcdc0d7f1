// SPDX-License-Identifier: GPL-2.0

//! The model inside of QEMU, and what it sees of QEMU.
//!
//! A call into the model may lead back to the device: a network backend answers while a frame is
//! handed to it, a descriptor ring lies in a register space, an MSI-X message is written there. [`Model::enter`]
//! refuses such a second entry, so that the model is borrowed once at a time; a refused frame is queued by QEMU and comes again.

use crate::abi;
use core::cell::Cell;
use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::Ordering;
use core::sync::atomic::fence;
use model_82599::Config;
use model_82599::Device;
use model_82599::Function;
use model_82599::Host;
use model_82599::POOLS;
use model_82599::Violation;

/// The model of one port. Lives from the PF's realize to its exit.
pub(crate) struct Model {
    device: UnsafeCell<Device>,
    /// Whether `device` is borrowed.
    busy: Cell<bool>,
    /// A frame was refused, or may come again.
    flush: Cell<bool>,
    pub(crate) qemu: Qemu,
}

/// QEMU's objects of the port. Null while they do not exist.
pub(crate) struct Qemu {
    pub(crate) pf: Cell<*mut abi::Object>,
    pub(crate) vfs: [Cell<*mut abi::Object>; POOLS],
    pub(crate) nic: Cell<*mut c_void>,
    pub(crate) timer: Cell<*mut c_void>,
    pub(crate) bh: Cell<*mut c_void>,
    /// Shown as a property of the device.
    pub(crate) violations: Cell<*mut u64>,
    pub(crate) strict: bool,
    pub(crate) trace: bool,
}

impl Model {
    pub(crate) fn new(
        config: Config,
        pf: *mut abi::Object,
        timer: *mut c_void,
        violations: *mut u64,
    ) -> Self {
        Self {
            device: UnsafeCell::new(Device::new(config)),
            busy: Cell::new(false),
            flush: Cell::new(false),
            qemu: Qemu {
                pf: Cell::new(pf),
                vfs: [const { Cell::new(ptr::null_mut()) }; POOLS],
                nic: Cell::new(ptr::null_mut()),
                timer: Cell::new(timer),
                bh: Cell::new(ptr::null_mut()),
                violations: Cell::new(violations),
                strict: config.strict,
                trace: config.trace,
            },
        }
    }

    /// Whether a call into the model is under way.
    pub(crate) fn busy(&self) -> bool {
        self.busy.get()
    }

    /// Runs `f` on the model; `None` if a call into it is under way.
    pub(crate) fn enter<R>(&self, f: impl FnOnce(&mut Device, &mut Access<'_>) -> R) -> Option<R> {
        if self.busy.replace(true) {
            return None;
        }
        let mut access = Access { model: self };
        // SAFETY: `busy` was false, so no other reference to the device exists; it stays true until this one is gone.
        let result = f(unsafe { &mut *self.device.get() }, &mut access);
        self.busy.set(false);
        Some(result)
    }

    /// Lets QEMU offer what was refused. Not to be called from the receive callback.
    pub(crate) fn flush(&self) {
        let nic = self.qemu.nic.get();
        if self.flush.replace(false) && !nic.is_null() {
            // SAFETY: The card exists, and the model is not borrowed: the receive callback may enter it.
            unsafe { abi::qemu_flush_queued_packets(abi::qemu_get_queue(nic)) };
        }
    }

    /// The PF goes away, maybe in the middle of a call that led there (a descriptor write-back can unplug a slot).
    /// What is left of the call finds nothing.
    pub(crate) fn forget_qemu(&self) {
        self.qemu.pf.set(ptr::null_mut());
        self.qemu.timer.set(ptr::null_mut());
        self.qemu.violations.set(ptr::null_mut());
        for vf in &self.qemu.vfs {
            vf.set(ptr::null_mut());
        }
    }

    /// A frame was refused because a call is under way.
    pub(crate) fn refused(&self) {
        self.flush.set(true);
    }

    /// Whether a flush is due that only the main loop may do.
    pub(crate) fn flush_later(&self) {
        let bh = self.qemu.bh.get();
        if self.flush.get() && !bh.is_null() {
            // SAFETY: The bottom half exists as long as the pointer is not null.
            unsafe { abi::qemu_bh_schedule(bh) };
        }
    }
}

/// The model's way to QEMU while it runs.
pub(crate) struct Access<'a> {
    model: &'a Model,
}

impl Access<'_> {
    fn object(&self, function: Function) -> *mut abi::Object {
        match function {
            Function::Pf => self.model.qemu.pf.get(),
            Function::Vf(n) => self
                .model
                .qemu
                .vfs
                .get(usize::from(n))
                .map_or(ptr::null_mut(), Cell::get),
        }
    }

    fn rw(
        &self,
        function: Function,
        address: u64,
        data: *mut u8,
        length: usize,
        write: bool,
    ) -> bool {
        let object = self.object(function);
        if object.is_null() {
            return false;
        }
        // The order in which the processors see the device's accesses is that of the calls.
        fence(Ordering::SeqCst);
        // SAFETY: The object is a realized PCI device; its address space obeys bus mastering and the IOMMU. The
        // buffer has `length` bytes and is only read if `write` is set.
        unsafe {
            let space = abi::member::<c_void>(object, abi::PCI_BUS_MASTER_AS);
            let attributes = abi::MEMTXATTRS_UNSPECIFIED;
            abi::address_space_rw(
                space,
                address,
                attributes,
                data.cast(),
                length as u64,
                write,
            ) == 0
        }
    }
}

impl Host for Access<'_> {
    fn dma_read(&mut self, function: Function, address: u64, data: &mut [u8]) -> bool {
        let good = self.rw(function, address, data.as_mut_ptr(), data.len(), false);
        if !good {
            data.fill(0);
        }
        good
    }

    fn dma_write(&mut self, function: Function, address: u64, data: &[u8]) -> bool {
        self.rw(
            function,
            address,
            data.as_ptr().cast_mut(),
            data.len(),
            true,
        )
    }

    fn interrupt(&mut self, function: Function, vector: u16) {
        let object = self.object(function);
        if object.is_null() {
            return;
        }
        // SAFETY: The object is a realized PCI device with an MSI-X table that has this vector.
        unsafe {
            if abi::msix_enabled(object) != 0 {
                abi::msix_notify(object, u32::from(vector));
            }
        }
    }

    fn pin(&mut self, asserted: bool) {
        let pf = self.model.qemu.pf.get();
        if pf.is_null() {
            return;
        }
        // SAFETY: The PF is a realized PCI device with an interrupt pin and an MSI capability.
        unsafe {
            if abi::msi_enabled(pf) {
                if asserted {
                    abi::msi_notify(pf, 0);
                }
            } else {
                abi::pci_set_irq(pf, c_int::from(asserted));
            }
        }
    }

    fn send(&mut self, frame: &[u8]) {
        let nic = self.model.qemu.nic.get();
        let Ok(length) = c_int::try_from(frame.len()) else {
            return;
        };
        if !nic.is_null() {
            // SAFETY: The card exists and the frame has `length` bytes. A backend that answers at once finds the
            // model busy.
            unsafe { abi::qemu_send_packet(abi::qemu_get_queue(nic), frame.as_ptr(), length) };
        }
    }

    fn now(&mut self) -> u64 {
        // SAFETY: No arguments that could be wrong.
        unsafe { abi::qemu_clock_get_ns(abi::CLOCK_VIRTUAL) }.max(0) as u64
    }

    fn wake_at(&mut self, time: u64) {
        let time = i64::try_from(time).unwrap_or(i64::MAX);
        let timer = self.model.qemu.timer.get();
        if !timer.is_null() {
            // SAFETY: The timer was initialized when the PF was realized.
            unsafe { abi::timer_mod_ns(timer, time) };
        }
    }

    fn receive_again(&mut self) {
        self.model.flush.set(true);
    }

    fn report(&mut self, violation: &Violation) {
        let qemu = &self.model.qemu;
        let (kind, number) = match violation.function {
            Function::Pf => (c"PF", 0),
            Function::Vf(n) => (c"VF", c_int::from(n)),
        };
        let what = match violation.problem {
            model_82599::Problem::Reserved => c"access to a reserved register",
            model_82599::Problem::ReadOnly => c"write to a read-only register",
            model_82599::Problem::ReservedBits => c"write of reserved bits",
            model_82599::Problem::Size => c"access that is no aligned dword",
            model_82599::Problem::Descriptor => c"undefined descriptor",
            model_82599::Problem::Dma => c"memory access refused",
        };
        let format = c"82599 %s %d: %s: offset 0x%05x, value 0x%08x %.*s";
        let name = violation.name;
        let length = c_int::try_from(name.len()).unwrap_or(0);
        // SAFETY: The arguments fit the format; the name is bounded by its length. The counter is a member of
        // the PF's instance.
        unsafe {
            if let (true, Some(counter)) = (qemu.strict, qemu.violations.get().as_mut()) {
                *counter += 1;
            }
            if qemu.strict && abi::qemu_loglevel & abi::LOG_GUEST_ERROR != 0 {
                abi::qemu_log(
                    c"82599 %s %d: %s: offset 0x%05x, value 0x%08x %.*s\n".as_ptr(),
                    kind.as_ptr(),
                    number,
                    what.as_ptr(),
                    violation.offset,
                    violation.value,
                    length,
                    name.as_ptr(),
                );
            }
            if qemu.trace {
                abi::info_report(
                    format.as_ptr(),
                    kind.as_ptr(),
                    number,
                    what.as_ptr(),
                    violation.offset,
                    violation.value,
                    length,
                    name.as_ptr(),
                );
            }
        }
    }
}
