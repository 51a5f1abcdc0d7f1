// SPDX-License-Identifier: GPL-2.0

//! Register classes, resets, semaphores, EEPROM.

mod suite;

use model_82599::Function;
use model_82599::Problem;
use suite::Bench;
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
    let mut bench = Bench::new();
    bench.device = model_82599::Device::new(model_82599::Config {
        mac: MAC,
        strict: false,
        trace: false,
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
