// SPDX-License-Identifier: GPL-2.0

//! Register classes, resets, semaphores, EEPROM.

mod suite;

use model_82599::Config;
use model_82599::Function;
use model_82599::Problem;
use suite::Bench;
use suite::CONFIG;
use suite::MAC;
use suite::PF;
use suite::frame;

fn problems(bench: &mut Bench) -> Vec<Problem> {
    bench
        .world
        .violations
        .drain(..)
        .map(|v| v.problem)
        .collect()
}

#[test]
fn writes_without_effect_are_reported() {
    let mut bench = Bench::new();
    let status = bench.get(0x0008);
    bench.set(0x0008, !status);
    assert_eq!(bench.get(0x0008), status);
    assert_eq!(problems(&mut bench), [Problem::ReadOnly]);
    bench.set(0x0300, 1);
    assert_eq!(bench.get(0x0300), 0);
    assert_eq!(problems(&mut bench), [Problem::Reserved, Problem::Reserved]);
    // RDRXCTL has reserved bits, of which nothing stays.
    bench.set(0x5088, 0x8000_8100);
    assert_eq!(bench.get(0x5088), 0x8100);
    assert_eq!(problems(&mut bench), [Problem::ReservedBits]);
    bench.set(0x5081, 0);
    assert_eq!(problems(&mut bench), [Problem::Size]);
    assert_eq!(bench.device.violations(), 5);
    assert_eq!((bench.get(0x1FFF4), bench.get(0x1FFF8)), (5, 0x5081));
}

#[test]
fn nothing_is_reported_unless_asked_for() {
    let mut bench = Bench::with(Config {
        strict: false,
        ..CONFIG
    });
    bench.set(0x0008, 0);
    assert!(bench.world.violations.is_empty());
    assert_eq!(bench.device.violations(), 0);
    assert_eq!(
        bench.get(0x1FFF0),
        0,
        "the registers of the model are those of strict mode"
    );
}

#[test]
fn heads_are_read_only() {
    let mut bench = Bench::new();
    bench.tx_ring(PF, 0, 0);
    bench.transmit(PF, 0, 0, 0, &frame([0xFF; 6], MAC, 0x0800, &[0; 46]));
    assert_eq!(bench.get(0x6010), 1);
    bench.world.violations.clear();
    bench.set(0x6010, 0);
    bench.set(0x6010, 7);
    assert_eq!(bench.get(0x6010), 1);
    assert_eq!(problems(&mut bench), [Problem::ReadOnly, Problem::ReadOnly]);
    // Off, the head is 0, and writing that is what drivers do.
    bench.set(0x6028, 0);
    bench.set(0x6010, 0);
    assert_eq!(bench.get(0x6010), 0);
    assert!(problems(&mut bench).is_empty());
    bench.set(0x6010, 3);
    bench.set(0x1010, 3);
    assert_eq!((bench.get(0x6010), bench.get(0x1010)), (0, 0));
    assert_eq!(problems(&mut bench), [Problem::ReadOnly, Problem::ReadOnly]);
}

#[test]
fn statistics_are_cleared_by_a_read() {
    let mut bench = Bench::new();
    bench.tx_ring(PF, 0, 0);
    for i in 0..3 {
        bench.transmit(PF, 0, 0, i, &frame([0xFF; 6], MAC, 0x0800, &[0; 46]));
    }
    // GPTC, BPTC, PTC64.
    assert_eq!([0x4080, 0x40F4, 0x40D8].map(|o| bench.get(o)), [3, 3, 3]);
    assert_eq!([0x4080, 0x40F4, 0x40D8].map(|o| bench.get(o)), [0, 0, 0]);
    // GOTCL stays until GOTCH is read.
    assert_eq!(
        [0x4090, 0x4090, 0x4094, 0x4090].map(|o| bench.get(o)),
        [192, 192, 0, 0]
    );
    // QPTC, QBTC.
    assert_eq!(
        [0x6030, 0x6030, 0x8700, 0x8704, 0x8700].map(|o| bench.get(o)),
        [3, 0, 192, 0, 0]
    );
}

#[test]
fn a_reset_of_the_pf_clears_all_but_the_address() {
    let mut bench = Bench::new();
    bench.virtualize(2);
    bench.tx_ring(PF, 4, 4);
    bench.write(Function::Vf(0), 0x0108, 7);
    bench.set(0xA200, 0x1234_5678);
    bench.set(0x0000, 1 << 26);
    assert_eq!(bench.get(0x0000), 0, "the bit clears itself");
    assert_eq!(
        (bench.get(0xA200), bench.get(0x5404)),
        (0x0000_0002, 0x8000_1000)
    );
    assert_eq!(
        [0x6128, 0x11050, 0x8220, 0xF000].map(|o| bench.get(o)),
        [0, 0, 0, 0]
    );
    assert_eq!(bench.read(Function::Vf(0), 0x0108), 0);
    // RSTI until the PF says that it is done, then RSTD, once.
    assert_eq!(bench.read(Function::Vf(1), 0x02FC), 0x40);
    bench.set(0x0018, 1 << 14);
    assert_eq!(bench.read(Function::Vf(1), 0x02FC), 0x80);
    assert_eq!(bench.read(Function::Vf(1), 0x02FC), 0);
}

#[test]
fn a_reset_of_a_vf_is_the_vfs_alone() {
    let mut bench = Bench::new();
    bench.virtualize(2);
    for n in 0..2 {
        let vf = Function::Vf(n);
        bench.tx_ring(vf, 0, 2 * usize::from(n));
        bench.write(vf, 0x2038, 0x1001);
        bench.write(vf, 0x203C, 0x2);
        bench.write(vf, 0x0108, 7);
        bench.write(vf, 0x0120, 0x8180);
        bench.write(vf, 0x0200, 5);
    }
    bench.write(Function::Vf(1), 0x0000, 1 << 26);
    let mut state = |n| {
        [0x2000, 0x2028, 0x2038, 0x203C, 0x0108, 0x0120, 0x0200]
            .map(|o| bench.read(Function::Vf(n), o))
    };
    assert_eq!(state(0)[1..], [1 << 25, 0x1001, 2, 7, 0x8180, 5]);
    assert_eq!(
        state(1),
        [0, 0, 0x1001, 2, 0, 0, 0],
        "only the head write-back address stays"
    );
    // PFVFLRE, cleared through PFVFLREC.
    assert_eq!(bench.get(0x0600), 2);
    bench.set(0x0700, 2);
    assert_eq!(bench.get(0x0600), 0);
}

#[test]
fn eeprom_words_and_semaphores() {
    let mut bench = Bench::new();
    let mut sum = 0u16;
    for word in 0..0x40u32 {
        bench.set(0x10014, word << 2 | 1);
        let value = bench.get(0x10014);
        assert_eq!(value & 2, 2);
        sum = sum.wrapping_add((value >> 16) as u16);
    }
    assert_eq!(sum, 0xBABA);
    bench.set(0x10018, 0x1234 << 16 | 0x20 << 2 | 1);
    bench.set(0x10014, 0x20 << 2 | 1);
    assert_eq!(bench.get(0x10014) >> 16, 0x1234);
    assert_eq!(
        [0x10140; 2].map(|o| bench.get(o) & 1),
        [0, 1],
        "who reads 0 has the semaphore"
    );
    bench.set(0x10140, 0);
    assert_eq!(bench.get(0x10140), 0);
    assert_eq!(bench.get(0x42A4), 0x7000_0000, "link up at 10 Gb/s");
    bench.device.set_cable(&mut bench.world, false);
    assert_eq!((bench.get(0x42A4), bench.get(0x0800)), (0, 0x0010_0000));
}

#[test]
fn tracing_reports_and_does_not_count() {
    let mut bench = Bench::with(Config {
        strict: false,
        trace: true,
        ..CONFIG
    });
    bench.set(0x0008, 0);
    assert_eq!(problems(&mut bench), [Problem::ReadOnly]);
    assert_eq!(bench.device.violations(), 0);
}

#[test]
fn bits_are_set_cleared_and_hidden_by_their_registers() {
    let mut bench = Bench::new();
    // EIMS is set by writing 1, cleared through EIMC, which reads 0; writing 0 does nothing to either.
    bench.set(0x0880, 0x0F);
    bench.set(0x0880, 0xF0);
    bench.set(0x0888, 0x11);
    bench.set(0x0888, 0);
    assert_eq!([0x0880, 0x0888].map(|o| bench.get(o)), [0xEE, 0]);
    bench.set(0x0AA4, 0x8000_0001);
    bench.set(0x0AB4, 1);
    assert_eq!(
        [0x0AA4, 0x0AB4, 0x0A94].map(|o| bench.get(o)),
        [0x8000_0000, 0, 0]
    );
    // EICR: causes are set through EICS, cleared by writing 1; by a read, too, unless GPIE.OCD keeps the queues'.
    bench.set(0x0898, 1 << 4 | 1 << 5);
    bench.set(0x0808, 0x0010_0007);
    bench.set(0x0800, 2);
    assert_eq!([0x0800, 0x0800].map(|o| bench.get(o)), [0x0010_0005, 5]);
    bench.set(0x0898, 1 << 4);
    assert_eq!([0x0800, 0x0800].map(|o| bench.get(o)), [5, 0]);
    // A VF's, the same.
    let vf = Function::Vf(3);
    bench.write(vf, 0x0108, 3);
    bench.write(vf, 0x010C, 1);
    assert_eq!([0x0108, 0x010C].map(|o| bench.read(vf, o)), [2, 0]);
    bench.write(vf, 0x0104, 7);
    bench.write(vf, 0x0100, 2);
    assert_eq!([0x0100, 0x0100].map(|o| bench.read(vf, o)), [5, 0]);
    // VFCTRL is write-only.
    bench.write(vf, 0x0000, 4);
    assert_eq!(bench.read(vf, 0x0000), 0);
}

/// All registers of the PF and of two VFs. What a read changes is read twice.
fn everything(bench: &mut Bench) -> Vec<(Function, u32, u32)> {
    let mut values = Vec::new();
    for round in 0..2 {
        values.clear();
        // The counters of violations, and time, go on.
        let pf = (0..0x1_FFF0).step_by(4).filter(|o| *o != 0x0048);
        let vf = (0..0x4000).step_by(4).filter(|o| *o != 0x0048);
        let all = pf.map(|o| (PF, o)).chain(
            [0, 5]
                .into_iter()
                .flat_map(|n| vf.clone().map(move |o| (Function::Vf(n), o))),
        );
        for (function, offset) in all {
            let value = bench.read(function, offset);
            values.push((function, offset, value));
        }
        assert!(round == 0 || !values.is_empty());
    }
    values
}

#[test]
fn a_reset_of_the_pf_brings_every_register_back() {
    let fresh = everything(&mut Bench::new());
    type Reset = fn(&mut Bench);
    let resets: [Reset; 4] = [
        |bench| bench.set(0x0000, 1 << 26),
        |bench| bench.set(0x0000, 1 << 3),
        |bench| bench.device.pf_flr(&mut bench.world),
        |bench| bench.device.system_reset(&mut bench.world),
    ];
    for reset in resets {
        let mut bench = Bench::new();
        for offset in (4..0x1_FFF0).step_by(4) {
            // The EEPROM is meant to survive.
            if offset != 0x1_0018 {
                bench.set(offset, 0x5A5A_5A5A);
            }
        }
        for n in [0, 5] {
            for offset in (4..0x4000).step_by(4) {
                bench.write(Function::Vf(n), offset, 0xA5A5_A5A5);
            }
        }
        let dirty = everything(&mut bench);
        let changed = fresh.iter().zip(&dirty).filter(|(a, b)| a != b).count();
        assert!(changed > 2000, "only {changed} registers took the pattern");
        reset(&mut bench);
        let after = everything(&mut bench);
        for (a, b) in fresh.iter().zip(&after) {
            assert_eq!(a, b);
        }
    }
}
