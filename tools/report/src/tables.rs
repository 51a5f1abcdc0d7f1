// SPDX-License-Identifier: GPL-2.0

//! Tables for people.

use crate::STREAMS;
use crate::figures::Figures;
use crate::run::Row;
use crate::run::Run;
use comfy_table::CellAlignment;
use comfy_table::Table;
use comfy_table::TableComponent;

/// One table per run and a line that compares them.
pub fn tables(runs: &[Run]) -> String {
    let mut out = String::new();
    for run in runs {
        out.push_str(&format!("\nDriver in the guest: {}\n", run.driver));
        if !run.host_driver.is_empty() {
            let whose = match run.function.as_str() {
                "pf" => "guest's link partner",
                _ => "physical function",
            };
            out.push_str(&format!("Driver of the {whose}: {}\n", run.host_driver));
        }
        out.push_str(&migrations(run).to_string());
        if run.migrations.iter().any(|row| row.restore_us.is_some()) {
            out.push_str("\nwhere the drivers' part of the gap goes, in us, and pages that the device adds to the last bitmap:\n");
            out.push_str(&parts(run).to_string());
        }
        out.push_str(&format!(
            "\nwhole run: {} exchanges, datagrams lost {} duplicated {} corrupted {} reordered {} of {}\n",
            run.exchanges,
            run.lost,
            run.duplicated,
            run.corrupted,
            run.reordered,
            run.datagrams_sent.values().sum::<u64>(),
        ));
        for problem in &run.problems {
            out.push_str(&format!("problem: {problem}\n"));
        }
    }
    if let [ours, control, ..] = runs {
        out.push_str("\nService gap minus downtime, median in ms:");
        for stream in STREAMS {
            out.push_str(&format!(
                "\n  {stream:8} {} {:.0}, {} {:.0}",
                ours.driver,
                ours.excess_ms(stream),
                control.driver,
                control.excess_ms(stream)
            ));
        }
        out.push('\n');
    }
    out
}

/// A table in the style of all the project's tools: the first `texts` columns to the left, numbers to the
/// right, little space between columns. A header may have several lines.
pub fn table(
    header: impl IntoIterator<Item = impl Into<String>>,
    texts: usize,
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.remove_style(TableComponent::HorizontalLines);
    table.remove_style(TableComponent::MiddleIntersections);
    table.set_header(header.into_iter().map(Into::<String>::into));
    for row in rows {
        table.add_row(row);
    }
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if i >= texts {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Heading of a column, who measured it, and the name of the figure.
type Part = (&'static str, fn(&Row) -> &Figures, &'static str);

/// Steps of a stop and a restore. The drivers take the times where their tracepoints are.
const PARTS: [Part; 8] = [
    ("drain", |row| &row.source, "last_drain_ns"),
    ("bus\nquiet", |row| &row.source, "last_bus_ns"),
    ("freeze", |row| &row.source, "last_freeze_ns"),
    ("kick", |row| &row.destination, "last_kick_ns"),
    ("reset", |row| &row.guest, "last_reset_ns"),
    ("mailbox", |row| &row.guest, "last_mailbox_ns"),
    ("replay", |row| &row.guest, "last_replay_ns"),
    ("rings", |row| &row.guest, "last_rings_ns"),
];

fn parts(run: &Run) -> Table {
    let mut header = vec!["#"];
    header.extend(PARTS.map(|(heading, _, _)| heading));
    header.push("pages");
    let rows = run.migrations.iter().enumerate().map(|(i, row)| {
        let figure = |figures: &Figures, name: &str| figures.get(name)?.parse::<u64>().ok();
        let text = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |v| v.to_string());
        let mut cells = vec![(i + 1).to_string()];
        for (_, of, name) in PARTS {
            cells.push(text(figure(of(row), name).map(|ns| ns / 1000)));
        }
        cells.push(text(figure(&row.source, "last_pages")));
        cells
    });
    table(header, 0, rows)
}

fn migrations(run: &Run) -> Table {
    let mut header = vec![
        "#".to_owned(),
        "total\nms".to_owned(),
        "down\nms".to_owned(),
    ];
    header.extend(STREAMS.map(|s| format!("{}\ngap ms", s.replace('_', " "))));
    header.extend(
        [
            "lost",
            "dup",
            "bad",
            "TCP\nretr",
            "rounds",
            "pre-copy\nKiB",
            "stopped\nKiB",
            "device\nbytes",
            "restore\nus",
        ]
        .map(str::to_owned),
    );
    let rows = run.migrations.iter().enumerate().map(|(i, row)| {
        let mut cells = vec![
            (i + 1).to_string(),
            row.total_ms.to_string(),
            row.downtime_ms.to_string(),
        ];
        for stream in STREAMS {
            cells.push(
                row.gap_ms
                    .get(stream)
                    .map_or(String::new(), |gap| format!("{gap:.0}")),
            );
        }
        let restore = row
            .restore_us
            .map_or_else(|| "-".to_owned(), |us| us.to_string());
        cells.extend([
            row.lost.to_string(),
            row.duplicated.to_string(),
            row.corrupted.to_string(),
            row.retransmits.to_string(),
            row.precopy_rounds.to_string(),
            (row.precopy_bytes / 1024).to_string(),
            (row.downtime_bytes / 1024).to_string(),
            row.device_bytes.to_string(),
            restore,
        ]);
        cells
    });
    table(header, 0, rows)
}
