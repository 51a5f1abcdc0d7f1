// SPDX-License-Identifier: GPL-2.0

//! A plugin for QEMU's emulator that makes nested virtual machines reliable: it works around two defects of QEMU 11.1.
//!
//! # An interrupt that comes twice
//!
//! When VMRUN injects an interrupt (EVENTINJ of type 0), QEMU 11.1 delivers it at once and leaves its vector in
//! `CPUState::exception_index`, where a vector means "an exception that is still to be delivered". Mostly the next
//! exit overwrites it. If another thread wants this processor's attention first, which every change of a
//! device's memory map does, the interrupt is delivered a second time, wherever the guest is by then, even with
//! interrupts off: a handler waits for itself, or the kernel is entered with the user's GS base, and KVM is told of an
//! exception with the number of an interrupt, which VMRUN refuses.
//!
//! The plugin puts itself in front of the helper for VMRUN and leaves the translated block after it, by QEMU's own
//! `cpu_loop_exit_noexc`, which forgets the vector.
//!
//! # A processor that forgets whose state it has
//!
//! A processor that loads x87 state without a pending error, as XRSTOR does at each change of tasks, has the chipset take back
//! IGNNE#: `cpu_clear_ignne` clears a bit of the *first* processor's `hflags2`, from its own thread and without a locked
//! instruction. The same word says whether the first processor runs a guest's page tables (cleared by an exit, set
//! by VMRUN) and whether it takes interrupts (CLGI, STGI). A change that falls between the two halves of the other thread's is
//! lost: after an exit the host runs on the guest's nested page tables, its first fetch faults, and a second exit writes
//! the host's state into the guest's; or the host takes an interrupt with the guest's GS base, and its own memory suffers.
//!
//! The plugin makes the function return at once. Only a kernel that has x87 errors reported by interrupt 13 (CR0.NE clear, and
//! a write to port F0h) would miss it.
//!
//! All is found by name in QEMU's dynamic symbol table; where a name is missing, the plugin says so and leaves that part as
//! it is. With a QEMU that has no such defects it does no harm.
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
    // SAFETY: `leave_after_vmrun` has seen that the name exists; this thread's variable lives as long as the thread.
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

/// ENDBR64, with which a function may begin that is called by address.
const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
/// RET.
const RET: u8 = 0xc3;

/// Makes `cpu_clear_ignne` do nothing.
fn keep_ignne() -> Result<(), &'static CStr> {
    const NAME: &CStr = c"cpu_clear_ignne";
    let function: *mut u8 = symbol(NAME)?.cast();
    // SAFETY: A function has at least the bytes of an ENDBR64 and the return that follows.
    let begin = unsafe { function.cast::<[u8; 4]>().read_unaligned() };
    let at = if begin == ENDBR64 {
        function.wrapping_add(ENDBR64.len())
    } else {
        function
    };
    // SAFETY: Asks for a constant.
    let size = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).map_err(|_| NAME)?;
    let page = at.wrapping_sub(at.addr() % size).cast();
    let (text, code) = (libc::PROT_READ | libc::PROT_EXEC, libc::PROT_WRITE);
    // SAFETY: The page is this process's own copy of QEMU's code and stays readable and executable.
    if unsafe { libc::mprotect(page, size, text | code) } != 0 {
        return Err(c"cpu_clear_ignne that can be written");
    }
    // SAFETY: The byte was made writable. No processor has been made yet, so no thread is in the function, and what
    // follows the new instruction is not reached any more.
    unsafe { at.write_volatile(RET) };
    // SAFETY: As above.
    unsafe { libc::mprotect(page, size, text) };
    Ok(())
}

/// Replaces the helper for VMRUN.
fn leave_after_vmrun() -> Result<(), &'static CStr> {
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
    for result in [leave_after_vmrun(), keep_ignne()] {
        if let Err(what) = result {
            eprintln!(
                "vmrun: this QEMU has no {}; nested guests may be lost",
                what.to_string_lossy()
            );
        }
    }
    0
}
