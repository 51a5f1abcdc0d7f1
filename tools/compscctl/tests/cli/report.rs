// SPDX-License-Identifier: GPL-2.0

//! `report` on a saved report.

use crate::Folder;
use crate::bad;
use crate::good;
use std::fs;

const REPORT: &str = r#"{"schema":1,"runs":[
  {"driver":"compsc","wanted":1,"throughput":{"tcp_in":[[0.0,4e6],[100.0,4e6]]},"stop_ms":[50.0],
   "migrations":[{"total_ms":912,"downtime_ms":103,"gap_ms":{"rr":131.0,"udp_in":127.2},
     "gap_span_ms":{"rr":[-2.0,129.0]},"lost":2,"duplicated":0,"corrupted":0,"precopy_rounds":3,
     "device_bytes":4321,"restore_us":1500}]},
  {"driver":"igbvf","migrations":[{"total_ms":2500,"downtime_ms":1700,"gap_ms":{"rr":9000.0},
     "lost":90,"duplicated":0,"corrupted":0,"precopy_rounds":1,"device_bytes":99,"restore_us":null}]}]}"#;

#[test]
fn tables_and_picture_come_from_the_file() {
    let folder = Folder::new("report");
    let file = folder.write("demo.json", REPORT);
    let picture = folder.0.join("demo.svg");
    let arguments = [
        "report",
        file.to_str().unwrap(),
        "--svg",
        picture.to_str().unwrap(),
    ];
    let text = good(&folder.0, &arguments);
    for word in [
        "Driver in the guest: compsc",
        "912",
        "4321",
        "1500",
        "igbvf 7300",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let drawn = fs::read_to_string(picture).unwrap();
    assert!(
        drawn.starts_with("<svg") && drawn.contains("compsc: bulk TCP"),
        "{drawn}"
    );
}

#[test]
fn other_files_are_refused() {
    let folder = Folder::new("no-report");
    let missing = folder.0.join("missing");
    let message = bad(&folder.0, &["report", missing.to_str().unwrap()], 1);
    assert!(message.contains("cannot read"), "{message}");
    for (content, words) in [
        ("", "not a report"),
        (r#"{"schema":7,"runs":[]}"#, "schema 7"),
        (r#"{"schema":1,"runs":[{"driver":"x"}]}"#, "migrations"),
    ] {
        let file = folder.write("file", content);
        let message = bad(&folder.0, &["report", file.to_str().unwrap()], 1);
        assert!(message.contains(words), "{message}");
    }
    let file = folder.write("file", REPORT);
    let arguments = [
        "report",
        file.to_str().unwrap(),
        "--svg",
        "/nonexistent/a.svg",
    ];
    let message = bad(&folder.0, &arguments, 1);
    assert!(
        message.contains("cannot draw /nonexistent/a.svg"),
        "{message}"
    );
}
