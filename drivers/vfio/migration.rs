// SPDX-License-Identifier: GPL-2.0

//! VFIO's migration states, and what happens on the way between them.
//!
//! | arc | what is done |
//! |---|---|
//! | RUNNING → PRE_COPY | check the announced region, ask for dummy writes, enter the pinned-page scope, send the identity |
//! | → RUNNING_P2P, PRE_COPY_P2P from a running state | drain and stop the queues, bus mastering off |
//! | RUNNING_P2P → STOP, PRE_COPY_P2P → STOP_COPY | lock the gate, freeze the counters, mark rings and posted buffers dirty; into STOP_COPY: complete the stream |
//! | STOP → STOP_COPY | a file with the whole stream |
//! | STOP → RESUMING | a file that takes a stream |
//! | RESUMING → STOP | check the stream, take over the region's location |
//! | RUNNING_P2P → RUNNING, PRE_COPY_P2P → PRE_COPY | bus mastering on, open the gate with the next version, wake the guest |
//! | out of PRE_COPY, STOP_COPY without success | end the file; dummy writes go on, as the scope does |
//!
//! The arcs are walked with the state mutex held. They end in the same way on source and target: a
//! function that was stopped, here or elsewhere, is restored by its guest.
//!
//! A failure before the guest stops refuses the arc. A failure afterwards does not, because the user's
//! only answer is to reset the function under its guest: it ends the stream with an error instead, the
//! user gives up the migration, and the guest goes on here.

use crate::{
    chip::Stopped,
    device::Device,
    file::{
        OwnedFile,
        ResumeFile,
        SaveFile, //
    },
    guest::{
        SharedRegion,
        Tracker, //
    },
    trace, Show,
};
use compsc::bindings;
use compsc_core::{
    capability::Announcement,
    gate,
    region::{
        self,
        ReadAt,
        Reader,
        COUNTER_FROZEN,
        MAX_COUNTERS,
        MAX_QUEUES, //
    },
    stream::{
        CounterValue,
        RegionLocation,
        StreamError,
        Unsent,
        Writer,
        HEADER_LEN, //
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
    time::{
        Delta,
        Instant,
        Monotonic, //
    },
};

/// Longest stream that this driver writes, in bytes.
pub(crate) const STREAM_MAX: usize = 2048;

/// How long posted transmits may take. At 1 Gbit/s a full ring of 4096 short packets takes 3 ms.
const DRAIN: Delta = Delta::from_millis(10);

/// VFIO's migration states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Stop,
    Running,
    StopCopy,
    Resuming,
    RunningP2p,
    PreCopy,
    PreCopyP2p,
}

impl State {
    /// VFIO's number of the state.
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Stop => bindings::vfio_device_mig_state_VFIO_DEVICE_STATE_STOP,
            Self::Running => bindings::vfio_device_mig_state_VFIO_DEVICE_STATE_RUNNING,
            Self::StopCopy => bindings::vfio_device_mig_state_VFIO_DEVICE_STATE_STOP_COPY,
            Self::Resuming => bindings::vfio_device_mig_state_VFIO_DEVICE_STATE_RESUMING,
            Self::RunningP2p => bindings::vfio_device_mig_state_VFIO_DEVICE_STATE_RUNNING_P2P,
            Self::PreCopy => bindings::vfio_device_mig_state_VFIO_DEVICE_STATE_PRE_COPY,
            Self::PreCopyP2p => bindings::vfio_device_mig_state_VFIO_DEVICE_STATE_PRE_COPY_P2P,
        }
    }

    fn from_number(number: u32) -> Option<Self> {
        [
            Self::Stop,
            Self::Running,
            Self::StopCopy,
            Self::Resuming,
            Self::RunningP2p,
            Self::PreCopy,
            Self::PreCopyP2p,
        ]
        .into_iter()
        .find(|s| s.number() == number)
    }

    /// Whether the guest's memory is being copied while it runs.
    const fn is_precopy(self) -> bool {
        matches!(self, Self::PreCopy | Self::PreCopyP2p)
    }
}

/// Why a region cannot be used.
type RegionError = region::ReadError<crate::guest::MemoryError>;

/// The function while it is stopped here.
struct Quiet {
    /// What the queues held; nothing if the function could not be asked.
    queues: Option<Stopped>,
    /// Whether bus mastering was on.
    bus_master: bool,
}

/// What was taken from the guest's region at the stop.
struct Frozen {
    place: Announcement,
    gate_word: u32,
    counters: KVec<CounterValue>,
    /// Pages marked as dirty.
    pages: u32,
}

/// Migration of one function. Protected by the device's state mutex.
pub(crate) struct Migration {
    state: State,
    saving: Option<Arc<SaveFile>>,
    resuming: Option<Arc<ResumeFile>>,
    /// There from the stop of the function until it runs again.
    quiet: Option<Quiet>,
    /// There from STOP until the function runs again, when a region is announced.
    frozen: Option<Frozen>,
    /// Why what was saved cannot be used.
    fault: Option<Error>,
    /// The guest has to restore the function before it uses it again: it takes the place of another one, or
    /// was reset while it was stopped.
    replaced: bool,
}

impl Migration {
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Running,
            saving: None,
            resuming: None,
            quiet: None,
            frozen: None,
            fault: None,
            replaced: false,
        }
    }

    /// The state of the protocol.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// The device was opened: it was reset and runs.
    pub(crate) fn open(&mut self, device: &Device) {
        self.restart(device);
    }

    /// The device is being closed.
    pub(crate) fn close(&mut self, device: &Device) {
        self.restart(device);
    }

    /// The function was reset in some way. While the guest runs that is its own business; a function that
    /// was stopped counts as running, and the guest is told when the user lets it run.
    ///
    /// Called with memory_lock held, so neither registers nor guest memory can be accessed.
    pub(crate) fn was_reset(&mut self, device: &Device) {
        device.function().figures.resets.count();
        if matches!(self.state, State::Running | State::PreCopy) {
            return;
        }
        let quiet = self.quiet.take();
        let frozen = self.frozen.take();
        let replaced = self.replaced || quiet.is_some();
        self.restart(device);
        self.quiet = quiet.map(|q| Quiet { queues: None, ..q });
        // A function that is saved once more before it runs still has something to say.
        self.frozen = frozen;
        self.replaced = replaced;
    }

    /// The user has reset the function with the machine, or because a transition has failed. Guest memory
    /// may hold something else soon, so the region is forgotten; a guest that is still there finds that
    /// out from the capability's status and announces it again.
    pub(crate) fn machine_reset(&mut self, device: &Device) {
        if self.quiet.as_ref().is_some_and(|q| q.bus_master) {
            // As the user has set it. Switching on does not fail.
            let _ = device.core().set_bus_master(true);
        }
        device.set_announced(None);
        self.restart(device);
    }

    fn restart(&mut self, device: &Device) {
        self.end_files(ENODEV);
        *self = Self::new();
        device.function().figures.set_state(self.state.number());
    }

    fn end_files(&mut self, error: Error) {
        if let Some(file) = self.saving.take() {
            file.end(error);
        }
        if let Some(file) = self.resuming.take() {
            file.end(error);
        }
    }

    /// Goes to the state with VFIO's number `to`, step by step. Returns the file that the last step opened.
    ///
    /// # Errors
    ///
    /// `EINVAL` when there is no way; otherwise those of a step, and the state is the last one that
    /// was reached.
    pub(crate) fn go(&mut self, device: &Device, to: u32) -> Result<Option<OwnedFile>> {
        let mut file = None;
        let _awake = device.core().awake().inspect_err(|e| {
            user_err!(
                device.core().dev(),
                "the function does not wake up (error {})\n",
                e.to_errno()
            );
        })?;
        while self.state.number() != to {
            let next = device.core().next_state(self.state.number(), to)?;
            let next = State::from_number(next).ok_or(EINVAL)?;
            // Only last steps open files. If one did not, it is closed here.
            let start = Instant::<Monotonic>::now();
            let result = self.step(device, next);
            trace::state(
                device.core().dev(),
                self.state.number(),
                next.number(),
                &result,
                start.elapsed(),
            );
            file = result.inspect_err(|e| {
                device.function().figures.refused.count();
                dev_dbg!(
                    device.core().dev(),
                    "refused {:?} to {next:?} (error {})\n",
                    self.state,
                    e.to_errno()
                );
            })?;
            self.state = next;
            device.function().figures.set_state(next.number());
        }
        if self.state == State::Running && self.replaced {
            self.wake(device, false);
        }
        Ok(file)
    }

    /// What the arcs do is not inlined, so that one's buffers are no part of another one's stack frame.
    fn step(&mut self, device: &Device, to: State) -> Result<Option<OwnedFile>> {
        use State::*;
        match (self.state, to) {
            (Running, PreCopy) | (RunningP2p, PreCopyP2p) => self.begin(device).map(Some),
            (Running, RunningP2p) | (PreCopy, PreCopyP2p) => {
                self.quiesce(device);
                Ok(None)
            }
            (RunningP2p, Stop) => {
                self.freeze(device);
                Ok(None)
            }
            (PreCopyP2p, StopCopy) => {
                self.freeze(device);
                self.complete(device);
                Ok(None)
            }
            (Stop, StopCopy) => {
                let file = self.open_save(device)?;
                self.complete(device);
                Ok(Some(file))
            }
            (Stop, Resuming) => {
                let target = device.function().chip.identity();
                let (resuming, file) = ResumeFile::open(target, device.core().dev())?;
                self.resuming = Some(resuming);
                Ok(Some(file))
            }
            (Resuming, Stop) => self.take_over(device).map(|()| None),
            (PreCopy, Running) => {
                self.end_files(ENODEV);
                self.end_dummy_writes(device);
                Ok(None)
            }
            (PreCopyP2p, RunningP2p) | (StopCopy, Stop) => {
                self.end_files(ENODEV);
                Ok(None)
            }
            (Stop, RunningP2p) => Ok(None),
            (RunningP2p, Running) | (PreCopyP2p, PreCopy) => {
                self.wake(device, to.is_precopy());
                Ok(None)
            }
            _ => Err(EINVAL),
        }
    }

    /// Begins a migration while the guest runs.
    #[inline(never)]
    fn begin(&mut self, device: &Device) -> Result<OwnedFile> {
        let core = device.core();
        let function = device.function();
        let announced = device.announced();
        let tracked = announced.is_some() || !core.is_bus_master();
        function.unannounced.store(u32::from(!tracked), Relaxed);
        match announced {
            Some(place) => {
                let asked = check_region(device, place)
                    .and_then(|()| Ok(self.set_dummy_writes(device, place, true)?));
                if let Err(error) = asked {
                    function.figures.count_bad_region();
                    user_err!(
                        core.dev(),
                        "migration refused: the region that the guest has announced is not usable: \
                         {}; reload the driver in the guest\n",
                        Show(error)
                    );
                    return Err(EINVAL);
                }
                if core.shares_group() {
                    // Type1 knows one scope per group, and we track this function only.
                    user_warn!(
                        core.dev(),
                        "the function shares its IOMMU group with others, so all memory counts as dirty: \
                         pre-copy will not converge\n"
                    );
                } else if let Err(error) = function.scope.enter(core, place.address()) {
                    // Correct without, too: then all memory counts as dirty.
                    user_warn!(
                        core.dev(),
                        "no page of the guest can be pinned (error {}): pre-copy will not converge\n",
                        error.to_errno()
                    );
                }
            }
            None if function.scope.is_entered() && !tracked => {
                user_err!(
                    core.dev(),
                    "migration refused: what the function writes to memory was tracked with the help of the \
                     guest's driver before, and the present driver does not help; load this project's driver \
                     in the guest, or take its interface's driver away, or restart the machine\n"
                );
                return Err(EBUSY);
            }
            None => user_info!(
                core.dev(),
                "the guest has announced no region: all its memory will be copied while it is stopped\n"
            ),
        }
        self.open_save(device)
            .inspect_err(|_| self.end_dummy_writes(device))
    }

    fn open_save(&mut self, device: &Device) -> Result<OwnedFile> {
        let mut buffer = [0; HEADER_LEN];
        let writer =
            Writer::new(&mut buffer, &device.function().chip.identity()).map_err(|_| ENOBUFS)?;
        let (saving, file) = SaveFile::open(writer.bytes())?;
        self.saving = Some(saving);
        Ok(file)
    }

    /// Stops the function. Does what can be done even if the function does not answer.
    #[inline(never)]
    fn quiesce(&mut self, device: &Device) {
        let core = device.core();
        let function = device.function();
        self.fault = None;
        let queues = match function.chip.stop(core, DRAIN) {
            Ok(stopped) => Some(stopped),
            Err(error) => {
                user_warn!(
                    core.dev(),
                    "queues could not be stopped (error {}), the function is asleep or gone\n",
                    error.to_errno()
                );
                None
            }
        };
        let start = Instant::<Monotonic>::now();
        let before = self.quiet.take().is_some_and(|q| q.bus_master);
        let bus_master = before || core.is_bus_master();
        if let Err(error) = core.set_bus_master(false) {
            user_err!(
                core.dev(),
                "requests to memory stay unanswered after the stop; this migration will be refused\n"
            );
            self.fault = Some(error);
        }
        let bus = start.elapsed();
        let drain = queues.as_ref().map_or(Delta::ZERO, |q| q.time());
        let unsent = queues
            .as_ref()
            .map_or(0, |q| q.unsent().map(|u| u64::from(u.count)).sum());
        function.figures.drain_ns.set_time(drain);
        function.figures.bus_ns.set_time(bus);
        function.figures.unsent.set(unsent);
        function.figures.stops.count();
        trace::stop(core.dev(), drain, bus, unsent);
        self.quiet = Some(Quiet { queues, bus_master });
    }

    /// Takes what only the host can see from the stopped function, and makes sure that what it wrote to
    /// memory is copied.
    ///
    /// A function that has not run here since it came or since the last time has nothing new to say.
    #[inline(never)]
    fn freeze(&mut self, device: &Device) {
        if self.frozen.is_some() || (self.replaced && device.announced().is_none()) {
            return;
        }
        let start = Instant::<Monotonic>::now();
        let core = device.core();
        let function = device.function();
        if let Some(place) = device.announced() {
            match self.freeze_region(device, place) {
                Ok(frozen) => self.frozen = Some(frozen),
                Err(error) => {
                    function.figures.count_bad_region();
                    user_err!(
                        core.dev(),
                        "the region that the guest has announced is not usable: {}; a migration is refused\n",
                        Show(error)
                    );
                    self.fault = Some(EINVAL);
                }
            }
        }
        // One driver that comes switches bus mastering on once before it announces its region, and does no
        // DMA in between. More often, or without an announcement, there was another driver.
        let unannounced = function.unannounced.load(Relaxed);
        let untracked = match device.announced() {
            Some(_) => unannounced > 1,
            None => unannounced > 0 || self.quiet.as_ref().is_some_and(|q| q.bus_master),
        };
        if untracked && function.scope.is_entered() {
            user_err!(
                core.dev(),
                "the function may have written to memory while no region was announced; a migration is \
                 refused, try again when the guest's driver runs\n"
            );
            self.fault = Some(EBUSY);
        }
        let time = start.elapsed();
        let (counters, pages) = self
            .frozen
            .as_ref()
            .map_or((0, 0), |f| (f.counters.len(), f.pages));
        function.figures.freeze_ns.set_time(time);
        function.figures.pages.set(pages.into());
        let result = self.fault.map_or(Ok(()), Err);
        // CAST: at most 64 counters.
        trace::freeze(core.dev(), counters as u32, pages, result, time);
    }

    fn freeze_region(&self, device: &Device, place: Announcement) -> Result<Frozen, RegionError> {
        let core = device.core();
        let function = device.function();
        let chip = function.chip;
        let memory = SharedRegion::new(core, place);
        let reader = Reader::open(memory, place.length())?;
        let region = *reader.region();

        // The lock comes first: whatever happens, nobody uses the function until it runs again.
        let word = gate::locked(region.gate_word);
        write(&memory, region::offset::GATE_WORD, &word.to_le_bytes())?;

        let mut counters = KVec::new();
        if !self.replaced && gate_identity(region.restored_word) == gate_identity(region.gate_word)
        {
            for index in 0..region.counters.count.min(MAX_COUNTERS as u32) {
                let counter = reader.counter(index, chip.window())?;
                let at = region.counter_offset(index) as usize;
                let flags = at + region::offset::COUNTER_HOST_FLAGS;
                let raw = chip
                    .is_counter(counter.register, counter.width)
                    .then(|| chip.counter(core, counter.register, counter.width).ok())
                    .flatten();
                let Some(raw) = raw else {
                    write(&memory, flags, &[0])?;
                    continue;
                };
                write(
                    &memory,
                    at + region::offset::COUNTER_FROZEN,
                    &raw.to_le_bytes(),
                )?;
                write(&memory, flags, &[COUNTER_FROZEN])?;
                let value = CounterValue {
                    register: counter.register,
                    width: counter.width,
                    raw,
                };
                // Without memory the copy in the stream is shorter; the guest has its own.
                let _ = counters.push(value, GFP_KERNEL);
            }
        }
        // Otherwise the guest has not restored this function, or is about to: its counters say nothing, and values
        // that were frozen before and not taken stay valid for the next restore.
        let next = gate::version(gate::unlocked_bumped(word));
        write(&memory, region::offset::FROZEN_VERSION, &next.to_le_bytes())?;
        let unsent: u32 = self
            .quiet
            .as_ref()
            .and_then(|q| q.queues.as_ref())
            .map_or(0, |q| q.unsent().map(|u| u.count).sum());
        write(&memory, region::offset::UNDRAINED, &unsent.to_le_bytes())?;
        function.figures.set_gate(word);

        Ok(Frozen {
            place,
            gate_word: word,
            counters,
            pages: mark_written(device, &reader)?,
        })
    }

    /// Completes the stream in the file that is open, or ends the file with the error that made it
    /// useless.
    #[inline(never)]
    fn complete(&mut self, device: &Device) {
        let Some(file) = &self.saving else {
            return;
        };
        let result = match self.fault {
            Some(error) => Err(error),
            None => self.stream(device),
        };
        match result {
            Ok(stream) => {
                device
                    .function()
                    .figures
                    .stream_bytes
                    .set(stream.len() as u64);
                file.complete(stream);
            }
            Err(error) => {
                device.function().figures.refused.count();
                file.end(error);
            }
        }
    }

    fn stream(&self, device: &Device) -> Result<KVec<u8>> {
        let mut buffer = KVec::from_elem(0u8, STREAM_MAX, GFP_KERNEL_ACCOUNT)?;
        let len = self.write_stream(device, &mut buffer).map_err(|e| {
            user_err!(device.core().dev(), "migration refused: {}\n", Show(e));
            ENOBUFS
        })?;
        buffer.truncate(len);
        Ok(buffer)
    }

    fn write_stream(&self, device: &Device, buffer: &mut [u8]) -> Result<usize, StreamError> {
        let mut writer = Writer::new(buffer, &device.function().chip.identity())?;
        if let Some(frozen) = &self.frozen {
            writer.region(RegionLocation {
                iova: frozen.place.address(),
                len: frozen.place.length(),
            })?;
            writer.gate(frozen.gate_word)?;
            if !frozen.counters.is_empty() {
                writer.counters(&frozen.counters)?;
            }
        }
        if let Some(queues) = self.quiet.as_ref().and_then(|q| q.queues.as_ref()) {
            let mut list = [Unsent { queue: 0, count: 0 }; MAX_QUEUES];
            let count = list
                .iter_mut()
                .zip(queues.unsent())
                .map(|(to, unsent)| *to = unsent)
                .count();
            if count != 0 {
                writer.unsent(&list[..count])?;
            }
        }
        writer.end()
    }

    /// Takes over what the stream says. Guest memory is not touched before the function runs.
    #[inline(never)]
    fn take_over(&mut self, device: &Device) -> Result {
        let Some(file) = self.resuming.take() else {
            return Err(EINVAL);
        };
        let ((at, gate, counters), received) = file.finish(|state| {
            let mut counters = KVec::with_capacity(state.counters.len(), GFP_KERNEL)?;
            for counter in state.counters.iter() {
                counters.push(counter, GFP_KERNEL)?;
            }
            Ok((state.region, state.gate, counters))
        })?;
        device.function().figures.stream_bytes.set(received as u64);
        let place = match at {
            None => None,
            Some(at) => {
                let place = Announcement::new(at.iova, at.len);
                if place.is_none() {
                    user_err!(
                        device.core().dev(),
                        "refused a migration to this function: region at {:#x} with {} bytes\n",
                        at.iova,
                        at.len
                    );
                    return Err(EINVAL);
                }
                place
            }
        };
        device.set_announced(place);
        // For the case that the function goes on to yet another host before it runs here.
        self.frozen = place.zip(gate).map(|(place, gate_word)| Frozen {
            place,
            gate_word,
            counters,
            pages: 0,
        });
        if let Some(word) = gate {
            device.function().figures.set_gate(word);
        }
        self.quiet = None;
        self.replaced = true;
        Ok(())
    }

    /// Lets the function run again and tells the guest to restore it.
    #[inline(never)]
    fn wake(&mut self, device: &Device, precopy: bool) {
        let start = Instant::<Monotonic>::now();
        let core = device.core();
        let quiet = self.quiet.take();
        let stopped = quiet.is_some();
        if quiet.as_ref().is_some_and(|q| q.bus_master) {
            // Switching on does not fail.
            let _ = core.set_bus_master(true);
        }
        self.frozen = None;
        self.fault = None;
        let replaced = core::mem::take(&mut self.replaced);
        if !stopped && !replaced {
            return;
        }
        let result = match device.announced() {
            Some(place) => open_gate(device, place, wants_dummy_writes(device, precopy)).map(Some),
            None => Ok(None),
        };
        let version = match result {
            Ok(Some(word)) => {
                device.function().figures.kicks.count();
                device.function().figures.kick_ns.set_time(start.elapsed());
                Some(gate::version(word))
            }
            Ok(None) => {
                self.restart_queues(device, quiet);
                None
            }
            Err(error) => {
                device.function().figures.count_bad_region();
                user_err!(
                    core.dev(),
                    "the guest cannot be told to restore its function: {}; reset the interface in the guest\n",
                    Show(error)
                );
                self.restart_queues(device, quiet);
                None
            }
        };
        let kicked = version.is_some();
        trace::wake(core.dev(), version.unwrap_or(0), kicked, start.elapsed());
    }

    /// Lets the queues go on as they were, for a guest that does not restore them.
    fn restart_queues(&self, device: &Device, quiet: Option<Quiet>) {
        let Some(stopped) = quiet.and_then(|q| q.queues) else {
            return;
        };
        if let Err(error) = device.function().chip.restart(device.core(), &stopped) {
            user_warn!(
                device.core().dev(),
                "queues could not be started again (error {}); reset the interface in the guest\n",
                error.to_errno()
            );
        }
    }

    /// The guest has announced a region, perhaps in the middle of something.
    pub(crate) fn announced(&mut self, device: &Device, place: Announcement) {
        if let Err(error) = self.meet(device, place) {
            if device.function().figures.count_bad_region() {
                user_warn!(
                    device.core().dev(),
                    "the guest has announced a region that is not usable: {}; migration will be refused\n",
                    Show(error)
                );
            }
        }
    }

    fn meet(&self, device: &Device, place: Announcement) -> Result<(), RegionError> {
        let function = device.function();
        if function.unannounced.load(Relaxed) <= 1 {
            function.unannounced.store(0, Relaxed);
        }
        let memory = SharedRegion::new(device.core(), place);
        let word = Reader::open(memory, place.length())?.region().gate_word;
        if word & gate::LOCKED != 0 && matches!(self.state, State::Running | State::PreCopy) {
            // Left over from a stop that ended in a reset.
            let dummy = wants_dummy_writes(device, self.state.is_precopy());
            return open_gate(device, place, dummy).map(drop);
        }
        device.function().figures.set_gate(word);
        let dummy = wants_dummy_writes(device, self.state.is_precopy());
        if (word & gate::DUMMY_WRITES != 0) != dummy {
            self.set_dummy_writes(device, place, dummy)?;
        }
        Ok(())
    }

    /// Asks the guest for dummy writes, or no more. The vCPUs run: only the flag's byte is written.
    fn set_dummy_writes(
        &self,
        device: &Device,
        place: Announcement,
        on: bool,
    ) -> Result<(), RegionError> {
        let memory = SharedRegion::new(device.core(), place);
        let reader = Reader::open(memory, place.length())?;
        let word = gate::with_dummy_writes(reader.region().gate_word, on);
        let [low, ..] = word.to_le_bytes();
        write(&memory, region::offset::GATE_WORD, &[low])?;
        device.function().figures.set_gate(word);
        Ok(())
    }

    /// Takes the request for dummy writes back, after a migration that did not take place.
    fn end_dummy_writes(&self, device: &Device) {
        let Some(place) = device.announced() else {
            return;
        };
        if wants_dummy_writes(device, false) {
            return;
        }
        if let Err(error) = self.set_dummy_writes(device, place, false) {
            user_warn!(
                device.core().dev(),
                "the guest goes on with dummy writes, it cannot be told to stop: {}\n",
                Show(error)
            );
        }
    }
}

/// Whether the guest has to write once more what the device wrote. The pinned-page scope cannot be left:
/// once it is entered, a user that copies memory without PRE_COPY (QEMU does, with a paused machine that is
/// continued meanwhile) sees what the device wrote by the guest's writes alone.
fn wants_dummy_writes(device: &Device, precopy: bool) -> bool {
    precopy || device.function().scope.is_entered()
}

/// The part of a gate word that names the device.
fn gate_identity(word: u32) -> u32 {
    gate::unlocked(gate::with_dummy_writes(word, false))
}

fn write(memory: &SharedRegion<'_>, offset: usize, data: &[u8]) -> Result<(), RegionError> {
    // CAST: regions are at most 1 MiB long.
    memory
        .write_at(offset as u32, data)
        .map_err(RegionError::Memory)
}

/// Marks what the function may have written as dirty. Returns the number of pages.
#[inline(never)] // See `Migration::step`.
fn mark_written(device: &Device, reader: &Reader<SharedRegion<'_>>) -> Result<u32, RegionError> {
    let mut tracker = Tracker::new(device.core());
    for queue in reader.queues()?.iter() {
        tracker
            .mark(queue.ring_addr, queue.ring_bytes())
            .map_err(RegionError::Memory)?;
        if queue.writeback_addr != 0 {
            tracker
                .mark(queue.writeback_addr, 4)
                .map_err(RegionError::Memory)?;
        }
        for posted in reader.posted(queue) {
            let (_, address) = posted?;
            tracker
                .mark(address, queue.buffer_len)
                .map_err(RegionError::Memory)?;
        }
    }
    Ok(tracker.pages())
}

/// Opens the gate with the next version and wakes the guest. Returns the gate word.
fn open_gate(device: &Device, place: Announcement, dummy_writes: bool) -> Result<u32, RegionError> {
    let memory = SharedRegion::new(device.core(), place);
    let reader = Reader::open(memory, place.length())?;
    let region = *reader.region();
    let word = gate::with_dummy_writes(gate::unlocked_bumped(region.gate_word), dummy_writes);
    let restarts = region.host_restarts.wrapping_add(1);
    write(
        &memory,
        region::offset::HOST_RESTARTS,
        &restarts.to_le_bytes(),
    )?;
    // vCPUs may run: the byte with the lock comes last.
    let [low, version @ ..] = word.to_le_bytes();
    write(&memory, region::offset::GATE_WORD + 1, &version)?;
    write(&memory, region::offset::GATE_WORD, &[low])?;
    device.function().figures.set_gate(word);
    if let Err(error) = device
        .function()
        .chip
        .kick(device.core(), region.kick_vector)
    {
        if device.function().figures.count_bad_region() {
            user_warn!(
                device.core().dev(),
                "vector {} could not be raised (error {}): the guest will notice by itself later\n",
                region.kick_vector,
                error.to_errno()
            );
        }
    }
    Ok(word)
}

/// Why a region is refused before the guest stops.
enum Unusable {
    Region(RegionError),
    /// It describes another kind of function.
    Kind {
        chip: u16,
        role: u16,
    },
    /// Its vector does not exist.
    Vector(u16),
}

impl From<RegionError> for Unusable {
    fn from(error: RegionError) -> Self {
        Self::Region(error)
    }
}

impl core::fmt::Display for Unusable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Region(error) => error.fmt(f),
            Self::Kind { chip, role } => write!(f, "it is for chip {chip}, role {role}"),
            Self::Vector(vector) => write!(f, "it names vector {vector}"),
        }
    }
}

/// How often a running guest's queues are copied before they count as wrong.
const QUEUE_TRIES: u32 = 16;

/// Checks everything in a region that can be checked while the guest runs.
fn check_region(device: &Device, place: Announcement) -> Result<(), Unusable> {
    let chip = device.function().chip;
    let memory = SharedRegion::new(device.core(), place);
    let reader = Reader::open(memory, place.length())?;
    let region = reader.region();
    // Parts that are read only later are there, too.
    memory
        .read_at(region.len - 1, &mut [0])
        .map_err(RegionError::Memory)?;
    let identity = chip.identity();
    if (region.chip, region.role) != (identity.chip, identity.role) {
        return Err(Unusable::Kind {
            chip: region.chip,
            role: region.role,
        });
    }
    if region.kick_vector >= chip.vectors() {
        return Err(Unusable::Vector(region.kick_vector));
    }
    for counter in reader.counters(chip.window()) {
        counter?;
    }
    // The guest moves its indices while we copy them, so one copy may not fit together.
    for _ in 0..QUEUE_TRIES {
        if reader.queues().is_ok() {
            return Ok(());
        }
    }
    reader.queues()?;
    Ok(())
}
