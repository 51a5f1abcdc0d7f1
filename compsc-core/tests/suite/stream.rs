// SPDX-License-Identifier: GPL-2.0

//! The migration stream: good streams, and everything that must be refused.

use crate::decoders::{self, dress, TARGET};
use compsc_core::stream::*;
use proptest::prelude::*;

fn identity() -> Identity {
    TARGET
}

/// A stream with all records.
fn full() -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    let mut writer = Writer::new(&mut bytes, &identity()).unwrap();
    writer
        .region(RegionLocation {
            iova: 0x1234_5000,
            len: 0x3000,
        })
        .unwrap();
    writer.gate(0x700).unwrap();
    writer
        .counters(&[
            CounterValue {
                register: 0xf10,
                width: 32,
                raw: 0xffff_fff0,
            },
            CounterValue {
                register: 0x1020,
                width: 36,
                raw: 0xf_0000_0001,
            },
        ])
        .unwrap();
    writer.unsent(&[Unsent { queue: 0, count: 3 }]).unwrap();
    let len = writer.end().unwrap();
    bytes.truncate(len);
    bytes
}

fn parse(bytes: &[u8]) -> Result<DeviceState, StreamError> {
    let mut buffer = vec![0; bytes.len()];
    let mut parser = Parser::new(&mut buffer, identity());
    parser.push(bytes)?;
    parser.finish()
}

fn record_bytes(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

#[test]
fn round_trip() {
    let state = parse(&full()).unwrap();
    assert_eq!(state.source, identity());
    assert_eq!(
        state.region,
        Some(RegionLocation {
            iova: 0x1234_5000,
            len: 0x3000
        })
    );
    assert_eq!(state.gate, Some(0x700));
    assert_eq!(state.counters.len(), 2);
    assert_eq!(state.counters.iter().nth(1).unwrap().raw, 0xf_0000_0001);
    assert_eq!(
        state.unsent.iter().collect::<Vec<_>>(),
        [Unsent { queue: 0, count: 3 }]
    );
}

/// The bytes are part of the ABI: this is what version 1 looks like.
#[test]
fn version_1_bytes() {
    let mut bytes = [0; 64];
    let mut writer = Writer::new(&mut bytes, &identity()).unwrap();
    writer
        .region(RegionLocation {
            iova: 0x1000,
            len: 0x200,
        })
        .unwrap();
    let written = writer.bytes().to_vec();
    assert_eq!(
        written,
        [
            b"CompSCms".as_slice(),
            &[1, 0, 24, 0, 0x86, 0x80, 0xca, 0x10, 1, 0, 1, 0, 2, 0, 1, 0],
            &[1, 0x80, 0, 0, 12, 0, 0, 0],
            &[0, 0x10, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0],
        ]
        .concat()
    );
}

#[test]
fn guest_without_a_region() {
    let mut bytes = vec![0; 64];
    let len = Writer::new(&mut bytes, &identity()).unwrap().end().unwrap();
    let state = parse(&bytes[..len]).unwrap();
    assert!(state.region.is_none() && state.gate.is_none() && state.counters.is_empty());
}

#[test]
fn header_is_checked_before_the_rest_arrives() {
    let mut other = identity();
    other.device = 0x1520;
    let bytes = full();
    let mut buffer = vec![0; 256];
    let mut parser = Parser::new(&mut buffer, other);
    parser.push(&bytes[..HEADER_LEN - 1]).unwrap();
    assert!(parser.source().is_none());
    let error = parser.push(&bytes[HEADER_LEN - 1..HEADER_LEN]).unwrap_err();
    assert_eq!(
        error,
        StreamError::Incompatible {
            field: "device id",
            source: 0x10ca,
            target: 0x1520
        }
    );
    assert_eq!(
        error.to_string(),
        "migration stream: source has device id 0x10ca, target has 0x1520: use a target function of the source's kind"
    );
    // It stays refused.
    assert_eq!(parser.push(&bytes[HEADER_LEN..]), Err(error));
    assert_eq!(parser.finish().unwrap_err(), error);
}

#[test]
fn compatibility() {
    let source = identity();
    assert_eq!(check_compatible(&source, &identity()), Ok(()));
    let more_queues = Identity {
        max_queues: 8,
        ..identity()
    };
    assert_eq!(check_compatible(&source, &more_queues), Ok(()));
    for (change, field) in [
        (
            Identity {
                vendor: 1,
                ..source
            },
            "vendor id",
        ),
        (
            Identity {
                device: 1,
                ..source
            },
            "device id",
        ),
        (Identity { chip: 2, ..source }, "chip"),
        (Identity { role: 2, ..source }, "role"),
        (Identity { abi: 2, ..source }, "region ABI"),
        (
            Identity {
                max_queues: 3,
                ..source
            },
            "queue pairs",
        ),
    ] {
        match check_compatible(&change, &identity()) {
            Err(StreamError::Incompatible { field: named, .. }) => assert_eq!(named, field),
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[test]
fn unknown_records() {
    // Optional ones are skipped, with any flags, however long.
    let mut optional = record_bytes(0x0123, &[1, 2, 3]);
    optional[2] = 0xff;
    assert!(parse(&dress(&optional)).is_ok());
    assert_eq!(
        parse(&dress(&record_bytes(0x8123, &[]))).unwrap_err(),
        StreamError::UnknownRecord { kind: 0x8123 }
    );
}

#[test]
fn wrong_records() {
    let region = record_bytes(record::REGION, &[0, 0x10, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0]);
    let gate = record_bytes(record::GATE, &[0; 4]);
    let both = [region.clone(), gate.clone()].concat();
    assert!(parse(&dress(&both)).is_ok());

    let cases: [(Vec<u8>, StreamError); 12] = [
        (
            [both.clone(), gate.clone()].concat(),
            StreamError::DuplicateRecord { kind: record::GATE },
        ),
        (
            region.clone(),
            StreamError::MissingRecord { kind: record::GATE },
        ),
        (
            gate.clone(),
            StreamError::MissingRecord {
                kind: record::REGION,
            },
        ),
        (
            record_bytes(record::GATE, &[0; 5]),
            StreamError::RecordLength {
                kind: record::GATE,
                len: 5,
            },
        ),
        (
            record_bytes(record::REGION, &[1; 12]),
            StreamError::RecordValue {
                kind: record::REGION,
                field: "address",
                value: 0x0101_0101_0101_0101,
            },
        ),
        (
            record_bytes(record::REGION, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x11, 0]),
            StreamError::RecordValue {
                kind: record::REGION,
                field: "length",
                value: 0x11_0000,
            },
        ),
        (
            record_bytes(
                record::REGION,
                &[0, 0xf0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x10, 0, 0],
            ),
            StreamError::RecordValue {
                kind: record::REGION,
                field: "address",
                value: 0xffff_ffff_ffff_f000,
            },
        ),
        (
            record_bytes(record::COUNTERS, &[0; 15]),
            StreamError::RecordLength {
                kind: record::COUNTERS,
                len: 15,
            },
        ),
        (
            record_bytes(record::COUNTERS, &[0; 16]),
            StreamError::RecordValue {
                kind: record::COUNTERS,
                field: "width",
                value: 0,
            },
        ),
        (
            record_bytes(
                record::COUNTERS,
                &[0, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
            ),
            StreamError::RecordValue {
                kind: record::COUNTERS,
                field: "raw value",
                value: 1 << 32,
            },
        ),
        (
            record_bytes(record::UNSENT, &[0; 17 * 8]),
            StreamError::RecordLength {
                kind: record::UNSENT,
                len: 17 * 8,
            },
        ),
        (
            {
                let mut flags = gate.clone();
                flags[2] = 1;
                flags
            },
            StreamError::RecordValue {
                kind: record::GATE,
                field: "flags",
                value: 1,
            },
        ),
    ];
    for (records, error) in cases {
        assert_eq!(parse(&dress(&records)).unwrap_err(), error);
    }

    let mut wrong_crc = dress(&both);
    *wrong_crc.last_mut().unwrap() ^= 1;
    assert!(matches!(
        parse(&wrong_crc),
        Err(StreamError::Checksum { .. })
    ));
    let mut trailing = dress(&both);
    trailing.push(0);
    assert_eq!(
        parse(&trailing).unwrap_err(),
        StreamError::TrailingBytes { count: 1 }
    );
}

#[test]
fn too_long() {
    let mut small = [0; 30];
    let mut writer = Writer::new(&mut small, &identity()).unwrap();
    assert_eq!(writer.gate(0), Err(StreamError::TooLong { limit: 30 }));
    let mut buffer = [0; 40];
    let mut parser = Parser::new(&mut buffer, identity());
    assert_eq!(
        parser.push(&full()),
        Err(StreamError::TooLong { limit: 40 })
    );
    let mut huge = vec![0; 2 * MAX_STREAM];
    let mut parser = Parser::new(&mut huge, identity());
    parser.push(&full()[..HEADER_LEN]).unwrap();
    let rest = vec![0; MAX_STREAM];
    assert_eq!(
        parser.push(&rest),
        Err(StreamError::TooLong {
            limit: MAX_STREAM as u32
        })
    );
}

#[test]
fn every_truncation_is_refused() {
    let bytes = full();
    for len in 0..bytes.len() {
        assert!(parse(&bytes[..len]).is_err(), "{len} bytes accepted");
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let bytes = full();
    // Miri looks at every 37th.
    for bit in (0..bytes.len() * 8).step_by(if cfg!(miri) { 37 } else { 1 }) {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(parse(&damaged).is_err(), "bit {bit} makes no difference");
    }
}

#[test]
fn crc_of_the_standard() {
    assert_eq!(crc32(0, b"123456789"), 0xcbf4_3926);
    assert_eq!(crc32(crc32(0, b"1234"), b"56789"), 0xcbf4_3926);
}

fn records() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![
        Just(record::REGION),
        Just(record::GATE),
        Just(record::COUNTERS),
        Just(record::UNSENT),
        Just(record::END),
        any::<u16>(),
    ];
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        Just(vec![0; 4]),
        Just(vec![0; 16]),
        (any::<u64>(), any::<u32>()).prop_map(|(iova, len)| {
            let mut bytes = (iova & !0xfff).to_le_bytes().to_vec();
            bytes.extend_from_slice(&(len % 0x20_0000).to_le_bytes());
            bytes
        }),
        (any::<u32>(), 0..70u8, any::<u64>()).prop_map(|(register, width, raw)| {
            let mut bytes = register.to_le_bytes().to_vec();
            bytes.extend_from_slice(&[width, 0, 0, 0]);
            bytes.extend_from_slice(&raw.to_le_bytes());
            bytes
        }),
    ];
    prop::collection::vec((kind, payload), 0..6).prop_map(|records| {
        records
            .iter()
            .flat_map(|(kind, payload)| record_bytes(*kind, payload))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 12_000 }))]

    #[test]
    fn random_streams(bytes in prop::collection::vec(any::<u8>(), 0..200), pieces: u8) {
        // Eight bytes of magic do not come by chance.
        prop_assert!(decoders::stream(&bytes, pieces).is_err());
    }

    #[test]
    fn random_records(records in records(), pieces: u8) {
        // Accepted or refused, the invariants in there hold.
        let _ = decoders::stream(&dress(&records), pieces);
    }

    #[test]
    fn truncated_streams(records in records(), cut: prop::sample::Index, pieces: u8) {
        let bytes = dress(&records);
        prop_assert!(decoders::stream(&bytes[..cut.index(bytes.len())], pieces).is_err());
    }

    #[test]
    fn flipped_bits(
        flips in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        pieces: u8,
    ) {
        let mut bytes = full();
        let bits = bytes.len() * 8;
        let flips: std::collections::BTreeSet<usize> = flips.iter().map(|i| i.index(bits)).collect();
        for bit in &flips {
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        prop_assert!(decoders::stream(&bytes, pieces).is_err());
    }

    #[test]
    fn good_streams(
        region in prop::option::of((0..1u64 << 40, 256..=0x10_0000u32, any::<u32>())),
        counters in prop::collection::vec((any::<u32>(), 1..=64u8, any::<u64>()), 0..=64),
        unsent in prop::collection::vec((any::<u16>(), any::<u32>()), 0..=16),
        pieces: u8,
    ) {
        let mut bytes = vec![0; 4096];
        let mut writer = Writer::new(&mut bytes, &identity()).unwrap();
        if let Some((page, len, gate)) = region {
            writer.region(RegionLocation { iova: page << 12, len }).unwrap();
            writer.gate(gate).unwrap();
        }
        let counters: Vec<_> = counters
            .into_iter()
            .map(|(register, width, raw)| CounterValue {
                register,
                width,
                raw: raw & u64::MAX >> (64 - width),
            })
            .collect();
        writer.counters(&counters).unwrap();
        let unsent: Vec<_> =
            unsent.into_iter().map(|(queue, count)| Unsent { queue, count }).collect();
        writer.unsent(&unsent).unwrap();
        let len = writer.end().unwrap();
        prop_assert_eq!(decoders::stream(&bytes[..len], pieces), Ok(()));
        let state = parse(&bytes[..len]).unwrap();
        prop_assert!(state.counters.iter().eq(counters));
        prop_assert!(state.unsent.iter().eq(unsent));
    }
}
