// SPDX-License-Identifier: GPL-2.0

//! A plugin for QEMU's emulator that makes nested virtual machines more reliable.
//!
//! When VMRUN injects an interrupt (EVENTINJ of type 0), QEMU 11.1 delivers it at once and leaves its vector in
//! `CPUState::exception_index`, where a vector means "an exception that is still to be delivered". Mostly the next
//! exit overwrites it. If another thread wants this processor's attention first, which every change of a
//! device's memory map does, the interrupt is delivered a second time, wherever the guest is by then, even with
//! interrupts off: a handler waits for itself, or the kernel is entered with the user's GS base, and KVM is told of an
//! exception with the number of an interrupt, which VMRUN refuses.
//!
//! The plugin puts itself in front of the helper for VMRUN and leaves the translated block after it, by QEMU's own
//! `cpu_loop_exit_noexc`, which forgets the vector. It finds all it needs by name in QEMU's dynamic symbol table;
//! where a name is missing, it says so and changes nothing. With a QEMU that has no such defect it does no harm.
//!
//! ```text
//! qemu-system-x86_64 -accel tcg -plugin …/vmrun.so …
//! ```

use std::cell::Cell;
use std::ffi::CStr;
use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_void;
use std::sync::OnceLock;

/// The helper: processor state, address size, length of the instruction.
type Vmrun = unsafe extern "C" fn(*mut c_void, c_int, c_int);
/// `cpu_loop_exit_noexc`; it does not return.
type LoopExit = unsafe extern "C" fn(*mut c_void) -> !;

/// What a translator knows about a helper: QEMU's `TCGHelperInfo` begins so.
#[repr(C)]
struct HelperInfo {
    function: Vmrun,
    name: *const c_char,
}

/// What the wrapper needs of QEMU.
struct Qemu {
    vmrun: Vmrun,
    loop_exit: LoopExit,
}

static QEMU: OnceLock<Qemu> = OnceLock::new();

thread_local! {
    /// Where this thread's `current_cpu` is.
    static CURRENT: Cell<*const *mut c_void> = const { Cell::new(std::ptr::null()) };
}

fn symbol(name: &'static CStr) -> Result<*mut c_void, &'static CStr> {
    // SAFETY: Looks a name up among the objects that are loaded.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    if address.is_null() {
        return Err(name);
    }
    Ok(address)
}

/// The processor that this thread emulates.
fn current_cpu() -> *mut c_void {
    let mut place = CURRENT.get();
    if place.is_null() {
        // A thread-local variable: its address is this thread's own.
        place = symbol(c"current_cpu").map_or(std::ptr::null(), |p| p.cast_const().cast());
        CURRENT.set(place);
    }
    // SAFETY: `install` has seen that the name exists; this thread's variable lives as long as the thread.
    unsafe { *place }
}

/// In the place of QEMU's helper for VMRUN.
unsafe extern "C" fn vmrun(env: *mut c_void, address_size: c_int, length: c_int) {
    if let Some(qemu) = QEMU.get() {
        // SAFETY: The arguments are those of the caller, which is translated code. If the helper leaves by longjmp,
        // this frame has nothing to drop.
        unsafe { (qemu.vmrun)(env, address_size, length) };
        // SAFETY: Called from translated code, so the thread's jump buffer is valid, and this frame has nothing to drop.
        // The helper has set the guest's instruction pointer, and the translated block ends with VMRUN.
        unsafe { (qemu.loop_exit)(current_cpu()) };
    }
}

/// Replaces the helper.
fn install() -> Result<(), &'static CStr> {
    let info: *mut HelperInfo = symbol(c"helper_info_vmrun")?.cast();
    let helper = symbol(c"helper_vmrun")?;
    symbol(c"current_cpu")?;
    let loop_exit = symbol(c"cpu_loop_exit_noexc")?;
    // SAFETY: The symbol is a variable of at least two pointers in every version that has it.
    let (function, name) = unsafe { ((*info).function, (*info).name) };
    if function as *const c_void != helper.cast_const() {
        return Err(c"helper_info_vmrun with helper_vmrun in its first word");
    }
    // SAFETY: The first word is what was expected, so the second is the name, a constant string.
    if unsafe { CStr::from_ptr(name) } != c"vmrun" {
        return Err(c"helper_info_vmrun with its name in its second word");
    }
    // SAFETY: The symbols are functions of these types.
    let qemu = unsafe {
        Qemu {
            vmrun: function,
            loop_exit: std::mem::transmute::<*mut c_void, LoopExit>(loop_exit),
        }
    };
    if QEMU.set(qemu).is_ok() {
        // SAFETY: The variable is writable data, and no code that reads it has been translated yet.
        unsafe { (*info).function = vmrun };
    }
    Ok(())
}

/// Version of the plugin interface this was made for.
#[unsafe(no_mangle)]
#[doc(hidden)]
pub static qemu_plugin_version: c_int = 7;

/// Entry point: QEMU calls it once, before it makes processors.
///
/// # Safety
///
/// To be called by QEMU's plugin loader only.
#[unsafe(no_mangle)]
#[doc(hidden)]
pub unsafe extern "C" fn qemu_plugin_install(
    _id: u64,
    _info: *const c_void,
    _argc: c_int,
    _argv: *const *const c_char,
) -> c_int {
    if let Err(what) = install() {
        eprintln!(
            "vmrun: this QEMU has no {}; its VMRUN is left as it is",
            what.to_string_lossy()
        );
    }
    0
}
