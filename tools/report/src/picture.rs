// SPDX-License-Identifier: GPL-2.0

//! The demo's picture: throughput over the whole run, and each migration's gaps side by side.

use crate::Error;
use crate::STREAMS;
use crate::run::Run;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const COLOURS: [RGBColor; 5] = [
    RGBColor(0x33, 0x33, 0x33),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0x98, 0xc3, 0x79),
    RGBColor(0xd6, 0x5f, 0x0e),
    RGBColor(0x1f, 0x77, 0xb4),
];
const WIDTH: u32 = 1200;
/// Silence beyond this many milliseconds runs off the picture: a guest that never came back must not
/// squeeze the others.
const LONGEST: f64 = 12_000.0;
/// Height of the throughput charts.
const TOP: u32 = 300;
/// Height of one stream's bar.
const BAR: i32 = 9;
/// Height of one migration's lane.
const LANE: i32 = 66;

/// Draws `runs` side by side into the file `path`.
///
/// # Errors
///
/// [`Error::Draw`] if the file cannot be written.
pub fn draw(path: &Path, runs: &[Run]) -> Result<(), Error> {
    if runs.is_empty() {
        return Ok(());
    }
    paint(path, runs).map_err(|e| Error::Draw {
        path: path.to_owned(),
        reason: e.to_string(),
    })
}

type Drawn = Result<(), Box<dyn std::error::Error + Send + Sync>>;

fn paint(path: &Path, runs: &[Run]) -> Drawn {
    let lanes = runs.iter().map(|r| r.migrations.len()).max().unwrap_or(0);
    let lanes = i32::try_from(lanes)?;
    let height = TOP + u32::try_from(lanes * LANE)? + 120;
    let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE).map_err(|e| e.to_string())?;
    let (top, bottom) = root.split_vertically(TOP);
    // One scale for all, so that they can be compared at a glance.
    let fastest = runs
        .iter()
        .flat_map(|r| r.throughput.values().flatten())
        .map(|p| p.1 / 1e6)
        .fold(1.0, f64::max);
    let widest = runs
        .iter()
        .flat_map(|r| &r.migrations)
        .flat_map(|m| m.gap_span_ms.values())
        .map(|span| span.1)
        .fold(100.0, f64::max)
        .min(LONGEST);
    let parts = (1, runs.len());
    for ((run, top), bottom) in runs
        .iter()
        .zip(top.split_evenly(parts))
        .zip(bottom.split_evenly(parts))
    {
        throughput(&top, run, fastest)?;
        gaps(&bottom, run, widest)?;
    }
    root.present().map_err(|e| e.to_string())?;
    Ok(())
}

fn throughput(area: &Area<'_>, run: &Run, fastest: f64) -> Drawn {
    let end = run
        .throughput
        .values()
        .filter_map(|line| line.last())
        .map(|p| p.0 / 1000.0)
        .fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(
            format!("{}: bulk TCP over the run", run.driver),
            ("sans-serif", 18),
        )
        .margin(8)
        .x_label_area_size(32)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..end, 0.0..fastest * 1.05)
        .map_err(|e| e.to_string())?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("seconds")
        .y_desc("Mbit/s")
        .draw()
        .map_err(|e| e.to_string())?;
    for (stop, row) in run.stop_ms.iter().zip(&run.migrations) {
        // CAST: milliseconds.
        let from = stop / 1000.0;
        let to = (stop + row.downtime_ms as f64) / 1000.0;
        chart
            .draw_series([Rectangle::new(
                [(from, 0.0), (to.max(from + 0.02), fastest)],
                RED.mix(0.3).filled(),
            )])
            .map_err(|e| e.to_string())?;
    }
    for (name, line) in &run.throughput {
        let colour = COLOURS[STREAMS.iter().position(|s| s == name).unwrap_or(0)];
        chart
            .draw_series(LineSeries::new(
                line.iter().map(|p| (p.0 / 1000.0, p.1 / 1e6)),
                colour,
            ))
            .map_err(|e| e.to_string())?
            .label(name.replace('_', " "))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
        .map_err(|e| e.to_string())?;
    Ok(())
}

fn gaps(area: &Area<'_>, run: &Run, widest: f64) -> Drawn {
    let (width, _) = area.dim_in_pixel();
    let (left, right) = (70, i32::try_from(width)? - 30);
    let (from, to) = (-0.08 * widest, widest * 1.02);
    let x = |ms: f64| {
        let share = (ms.clamp(from, to) - from) / (to - from);
        // CAST: a pixel within the picture.
        left + (share * f64::from(right - left)) as i32
    };
    let text = ("sans-serif", 13).into_font().color(&BLACK);
    let title = ("sans-serif", 18).into_font().color(&BLACK);
    let put =
        |words: &str, at: (i32, i32)| area.draw(&Text::new(words.to_owned(), at, text.clone()));
    let head = format!(
        "{}: silence of each stream around each migration",
        run.driver
    );
    area.draw(&Text::new(head, (left, 8), title))
        .map_err(|e| e.to_string())?;
    let bottom = 34 + LANE * i32::try_from(run.migrations.len())?;
    for (i, row) in run.migrations.iter().enumerate() {
        let y = 34 + LANE * i32::try_from(i)?;
        // CAST: milliseconds.
        let down = [(x(0.0), y), (x(row.downtime_ms as f64), y + LANE - 8)];
        area.draw(&Rectangle::new(down, RED.mix(0.2).filled()))
            .map_err(|e| e.to_string())?;
        put(&format!("no. {}", i + 1), (8, y + 20)).map_err(|e| e.to_string())?;
        for (k, stream) in STREAMS.iter().enumerate() {
            let Some(span) = row.gap_span_ms.get(*stream) else {
                continue;
            };
            let top = y + 2 + i32::try_from(k)? * (BAR + 2);
            let bar = [(x(span.0), top), (x(span.1).max(x(span.0) + 1), top + BAR)];
            area.draw(&Rectangle::new(bar, COLOURS[k].filled()))
                .map_err(|e| e.to_string())?;
        }
    }
    // Axis with about six marks of a round width.
    let raw = widest / 6.0;
    let unit = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|m| m * unit)
        .into_iter()
        .find(|s| *s >= raw)
        .unwrap_or(raw);
    area.draw(&PathElement::new([(left, bottom), (right, bottom)], BLACK))
        .map_err(|e| e.to_string())?;
    let mut mark = 0.0;
    while mark <= to {
        area.draw(&PathElement::new(
            [(x(mark), bottom), (x(mark), bottom + 5)],
            BLACK,
        ))
        .map_err(|e| e.to_string())?;
        put(&format!("{mark:.0}"), (x(mark) - 8, bottom + 7)).map_err(|e| e.to_string())?;
        mark += step;
    }
    put("ms since the guest was stopped", (right - 190, bottom + 24)).map_err(|e| e.to_string())?;
    let mut at = left;
    area.draw(&Rectangle::new(
        [(at, bottom + 46), (at + 12, bottom + 58)],
        RED.mix(0.2).filled(),
    ))
    .map_err(|e| e.to_string())?;
    put("QEMU's downtime", (at + 16, bottom + 46)).map_err(|e| e.to_string())?;
    at += 130;
    for (k, stream) in STREAMS.iter().enumerate() {
        area.draw(&Rectangle::new(
            [(at, bottom + 46), (at + 12, bottom + 58)],
            COLOURS[k].filled(),
        ))
        .map_err(|e| e.to_string())?;
        put(&stream.replace('_', " "), (at + 16, bottom + 46)).map_err(|e| e.to_string())?;
        at += 76;
    }
    Ok(())
}
