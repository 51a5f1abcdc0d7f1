// SPDX-License-Identifier: GPL-2.0

//! devlink: what the device is (`devlink dev info`), and a health reporter for transmission.
//!
//! A transmit hang is reported to it, which dumps the rings' state and recovers by the restore, or leaves that to the
//! administrator (`devlink health`). A restore that fails is tried again until it succeeds; so long the reporter shows
//! the error.

use super::{
    Adapter,
    Chip,
    Control, //
};
use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    error::{
        from_err_ptr,
        from_result, //
    },
    prelude::*,
    str::{
        CStr,
        CString, //
    },
};

/// Versions of a device, as far as it tells them.
#[derive(Default)]
pub struct Versions {
    /// Part number of the board.
    pub board: Option<CString>,
    /// Version of the firmware, or of the EEPROM that stands for it.
    pub firmware: Option<CString>,
}

/// An adapter's devlink instance with its reporter. Dropping it waits for those who use it.
pub(super) struct Devlink {
    raw: NonNull<bindings::devlink>,
    reporter: NonNull<bindings::devlink_health_reporter>,
    registered: bool,
}

// SAFETY: The C functions do their own locking.
unsafe impl Send for Devlink {}
// SAFETY: As above.
unsafe impl Sync for Devlink {}

impl Devlink {
    /// Makes an instance, which nobody sees yet. The adapter must outlive it, and stay where it is.
    pub(super) fn new<C: Chip>(adapter: &Adapter<C>) -> Result<Self> {
        // SAFETY: The device outlives the instance, and the operations are constants.
        let raw = NonNull::new(unsafe {
            bindings::compsc_devlink_alloc(
                &Adapter::<C>::DEVLINK_OPS,
                size_of::<*const Adapter<C>>(),
                adapter.function.device_raw(),
            )
        })
        .ok_or(ENOMEM)?;
        // SAFETY: The instance is new and has room for a pointer. The reporter's data is not changed through it.
        let reporter = unsafe {
            bindings::devlink_priv(raw.as_ptr())
                .cast::<*const Adapter<C>>()
                .write(adapter);
            bindings::devlink_health_reporter_create(
                raw.as_ptr(),
                &Adapter::<C>::TX_REPORTER_OPS,
                (&raw const *adapter).cast_mut().cast(),
            )
        };
        let reporter = from_err_ptr(reporter).and_then(|r| NonNull::new(r).ok_or(ENOMEM));
        let reporter = reporter.inspect_err(|_| {
            // SAFETY: Nobody else has the instance.
            unsafe { bindings::devlink_free(raw.as_ptr()) };
        })?;
        Ok(Self {
            raw,
            reporter,
            registered: false,
        })
    }

    /// Shows the instance to users. Called once.
    pub(super) fn register(&mut self) {
        // SAFETY: The instance is complete.
        unsafe { bindings::devlink_register(self.raw.as_ptr()) };
        self.registered = true;
    }

    /// Reports an error. Sleeps.
    pub(super) fn report(&self, message: &CStr) {
        // The result is in the reporter's state.
        // SAFETY: The reporter is valid and its instance registered; the message is copied.
        let _ = unsafe {
            bindings::devlink_health_report(
                self.reporter.as_ptr(),
                message.as_char_ptr(),
                core::ptr::null_mut(),
            )
        };
    }

    /// Has the reporter show that all is well.
    pub(super) fn recovered(&self) {
        // SAFETY: As for `report`.
        unsafe {
            bindings::devlink_health_reporter_state_update(
                self.reporter.as_ptr(),
                bindings::devlink_health_reporter_state_DEVLINK_HEALTH_REPORTER_STATE_HEALTHY,
            );
        }
    }
}

impl Drop for Devlink {
    fn drop(&mut self) {
        // SAFETY: Made by `new`; nobody reports any more.
        unsafe {
            if self.registered {
                bindings::devlink_unregister(self.raw.as_ptr());
            }
            bindings::devlink_health_reporter_destroy(self.reporter.as_ptr());
            bindings::devlink_free(self.raw.as_ptr());
        }
    }
}

/// A message of pairs, under construction.
#[derive(Clone, Copy)]
struct Message(*mut bindings::devlink_fmsg);

impl Message {
    fn number(self, name: &CStr, value: u32) {
        // SAFETY: The message is valid while a callback builds it.
        unsafe { bindings::devlink_fmsg_u32_pair_put(self.0, name.as_char_ptr(), value) }
    }

    fn text(self, name: &CStr, value: &CStr) {
        // SAFETY: As above; the text is copied.
        unsafe {
            bindings::devlink_fmsg_string_pair_put(self.0, name.as_char_ptr(), value.as_char_ptr());
        }
    }

    /// A list of objects under one name.
    fn list<T>(self, name: &CStr, items: impl Iterator<Item = T>, put: impl Fn(T)) {
        // SAFETY: As above; what is begun is ended.
        unsafe { bindings::devlink_fmsg_arr_pair_nest_start(self.0, name.as_char_ptr()) };
        for item in items {
            // SAFETY: As above.
            unsafe { bindings::devlink_fmsg_obj_nest_start(self.0) };
            put(item);
            // SAFETY: As above.
            unsafe { bindings::devlink_fmsg_obj_nest_end(self.0) };
        }
        // SAFETY: As above.
        unsafe { bindings::devlink_fmsg_arr_pair_nest_end(self.0) };
    }
}

impl<C: Chip> Adapter<C> {
    const DEVLINK_OPS: bindings::devlink_ops = bindings::devlink_ops {
        info_get: Some(Self::info_get),
        ..pin_init::zeroed()
    };

    const TX_REPORTER_OPS: bindings::devlink_health_reporter_ops =
        bindings::devlink_health_reporter_ops {
            name: c"tx"
                .to_bytes_with_nul()
                .as_ptr()
                .cast::<c_char>()
                .cast_mut(),
            recover: Some(Self::recover_tx),
            test: Some(Self::test_tx),
            dump: Some(Self::dump_tx),
            diagnose: Some(Self::diagnose_tx),
            ..pin_init::zeroed()
        };

    /// The adapter behind the reporter.
    ///
    /// # Safety
    ///
    /// The reporter is that of a [`Devlink`] which exists for the returned lifetime.
    unsafe fn of_reporter<'a>(reporter: *mut bindings::devlink_health_reporter) -> &'a Self {
        // SAFETY: `Devlink::new` handed in the adapter, which outlives it.
        unsafe { &*bindings::devlink_health_reporter_priv(reporter).cast::<Self>() }
    }

    extern "C" fn info_get(
        devlink: *mut bindings::devlink,
        request: *mut bindings::devlink_info_req,
        _ack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: `Devlink::new` wrote the pointer to the adapter, which outlives the instance.
        let this = unsafe { &**bindings::devlink_priv(devlink).cast::<*const Self>() };
        from_result(|| {
            if let Some(serial) = this.function.serial_number()? {
                // SAFETY: The request is valid during the call, and the text is copied.
                kernel::error::to_result(unsafe {
                    bindings::devlink_info_serial_number_put(request, serial.as_char_ptr())
                })?;
            }
            let Some(port) = this.chip.port() else {
                return Ok(0);
            };
            let versions = {
                let mut control = this.control.lock();
                this.restore_if_needed(&mut control, false)?;
                port.versions()?
            };
            if let Some(board) = versions.board {
                // SAFETY: As above.
                kernel::error::to_result(unsafe {
                    bindings::devlink_info_version_fixed_put(
                        request,
                        c"board.id".as_char_ptr(),
                        board.as_char_ptr(),
                    )
                })?;
            }
            if let Some(firmware) = versions.firmware {
                // SAFETY: As above.
                kernel::error::to_result(unsafe {
                    bindings::devlink_info_version_running_put(
                        request,
                        c"fw".as_char_ptr(),
                        firmware.as_char_ptr(),
                    )
                })?;
            }
            Ok(0)
        })
    }

    extern "C" fn recover_tx(
        reporter: *mut bindings::devlink_health_reporter,
        _context: *mut c_void,
        _ack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: The stack calls this for a reporter of this driver.
        let this = unsafe { Self::of_reporter(reporter) };
        from_result(|| {
            let mut control = this.control.lock();
            let recovered = this.restore_if_needed(&mut control, true);
            control.recovery_failed = recovered.is_err();
            recovered.map(|()| 0)
        })
    }

    extern "C" fn test_tx(
        reporter: *mut bindings::devlink_health_reporter,
        _ack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: As for `recover_tx`.
        unsafe { Self::of_reporter(reporter) }.report(None);
        0
    }

    extern "C" fn dump_tx(
        reporter: *mut bindings::devlink_health_reporter,
        message: *mut bindings::devlink_fmsg,
        _context: *mut c_void,
        _ack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: As for `recover_tx`.
        unsafe { Self::of_reporter(reporter) }.show_tx(Message(message));
        0
    }

    extern "C" fn diagnose_tx(
        reporter: *mut bindings::devlink_health_reporter,
        message: *mut bindings::devlink_fmsg,
        _ack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: As for `recover_tx`.
        unsafe { Self::of_reporter(reporter) }.show_tx(Message(message));
        0
    }

    /// State of the transmit rings, by software's indices and by the device's head.
    fn show_tx(&self, message: Message) {
        let control = self.control.lock();
        let state = CString::try_from_fmt(fmt!("{}", control.state()));
        message.text(c"state", state.as_deref().unwrap_or(c"?"));
        message.number(c"restores", self.region.restores().0);
        let up = self.active().iter().filter(|_| control.up);
        message.list(c"queues", up, |pair| {
            self.show_queue(&control, pair, message)
        });
    }

    fn show_queue(&self, control: &Control, pair: &super::QueuePair<C>, message: Message) {
        // SAFETY: The control lock keeps the ring; only its shared side is used.
        let Some(tx) = (unsafe { (*pair.tx.as_ptr()).as_ref() }) else {
            return;
        };
        let (next_to_use, next_to_clean, offset) = tx.indices();
        // CAST: Few queues.
        message.number(c"queue", pair.index as u32);
        message.number(c"size", tx.descriptors().count());
        message.number(c"next_to_use", next_to_use);
        message.number(c"next_to_clean", next_to_clean);
        message.number(c"offset", offset);
        message.number(c"pending", tx.pending());
        message.number(c"stopped", tx.stack().is_stopped().into());
        if self.is_reachable(control) {
            message.number(c"head", self.chip.heads(pair.index).0);
        }
    }
}
