// SPDX-License-Identifier: GPL-2.0

//! MSI-X vectors of a function.

use crate::{
    bindings,
    pci::Function, //
};
use kernel::{
    error::to_result,
    prelude::*,
    str::CString, //
};

/// A function's MSI-X vectors. Freed when dropped, after the handlers.
pub struct Vectors {
    function: Function,
    count: u32,
}

impl Vectors {
    /// Allocates exactly `count` vectors.
    pub fn new(function: Function, count: u32) -> Result<Self> {
        // SAFETY: The function is enabled and has no vectors yet.
        let got = unsafe {
            bindings::pci_alloc_irq_vectors(function.as_raw(), count, count, bindings::PCI_IRQ_MSIX)
        };
        if got < 0 {
            dev_err!(
                function.device(),
                "cannot get {} MSI-X vectors (error {}); this driver needs MSI-X\n",
                count,
                got
            );
            return Err(Error::from_errno(got));
        }
        Ok(Self { function, count })
    }

    /// Number of vectors.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The interrupt number of a vector.
    pub fn irq(&self, vector: u32) -> Result<u32> {
        // SAFETY: The vectors were allocated.
        let irq = unsafe { bindings::pci_irq_vector(self.function.as_raw(), vector) };
        to_result(irq.min(0))?;
        // CAST: Not negative.
        Ok(irq as u32)
    }
}

impl Drop for Vectors {
    fn drop(&mut self) {
        // SAFETY: The vectors were allocated, and their handlers freed before.
        unsafe { bindings::pci_free_irq_vectors(self.function.as_raw()) };
    }
}

/// An installed interrupt handler. Dropping it waits for the handler that runs.
pub struct Handler {
    irq: u32,
    data: *mut c_void,
    _name: CString,
}

// SAFETY: The registration may be ended on any thread.
unsafe impl Send for Handler {}

impl Handler {
    /// Installs a handler for a vector, under the name `<netdev or function>-<what>`.
    ///
    /// # Safety
    ///
    /// `data` is what `handler` expects, and stays valid as long as the result.
    pub unsafe fn new(
        irq: u32,
        name: CString,
        handler: unsafe extern "C" fn(c_int, *mut c_void) -> bindings::irqreturn_t,
        data: *mut c_void,
    ) -> Result<Self> {
        // SAFETY: By this function's requirement; the name lives as long as the registration.
        to_result(unsafe {
            bindings::compsc_request_irq(irq, Some(handler), name.as_char_ptr(), data)
        })?;
        Ok(Self {
            irq,
            data,
            _name: name,
        })
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        // SAFETY: Installed by `new` with the same data.
        unsafe { bindings::free_irq(self.irq, self.data) };
    }
}
