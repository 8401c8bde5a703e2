//! Pictures of a record, as SVG.

use hdrhistogram::Histogram;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::contenders::Kind;
use crate::record::{Raw, Record};
use crate::stats::histogram;

const SIZE: (u32, u32) = (1_000, 620);
/// Space beside a picture for the names of its lines.
const LEGEND_WIDTH: u32 = 230;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Latency over percentile, one line for each contender of a load. The percentiles are drawn by what lies beyond them, so
/// that the tail is as wide as the middle.
pub(crate) fn curves(record: &Record, raw: &Raw) -> Result<String, String> {
    let mut lines = Vec::new();
    for contender in &record.contenders {
        let mut all = histogram([])?;
        for (_, _, _, histogram) in raw.rounds.iter().filter(|(name, ..)| *name == contender.name) {
            all.add(histogram).map_err(|error| error.to_string())?;
        }
        if !all.is_empty() {
            lines.push((contender.name.clone(), contender.kind, contender.sleeps, curve(&all)));
        }
    }
    let tops = lines.iter().flat_map(|line| &line.3).map(|point| point.1);
    let (low, high) = tops.fold((f64::MAX, 1.0_f64), |(low, high), us| (low.min(us), high.max(us)));
    let low = if low == f64::MAX { 0.1 } else { low };
    let title = format!("Wire to book, {}, {} ({})", raw.load, record.machine.host, record.date);
    draw(|area| {
        let (plot, legend) = area.split_horizontally(SIZE.0 - LEGEND_WIDTH);
        let mut chart = ChartBuilder::on(&plot)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(58)
            .build_cartesian_2d(0.0..4.0, (low * 0.9..high * 1.1).log_scale())?;
        chart
            .configure_mesh()
            .x_desc("percentile")
            .y_desc("microseconds")
            .x_labels(5)
            .x_label_formatter(&|nines| percentile_name(*nines))
            .y_label_formatter(&|us| format!("{us}"))
            .draw()?;
        for (at, (name, kind, sleeps, points)) in lines.iter().enumerate() {
            let style = style(at, *kind, *sleeps);
            chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
            legend_line(&legend, at, name, style)?;
        }
        Ok(())
    })
}

/// Cost of a message over the number of books, and over the number of sockets with a book each.
pub(crate) fn growth(record: &Record) -> Result<String, String> {
    let books: Vec<_> = record.growth.iter().filter(|row| row.sockets == 1).collect();
    let sockets: Vec<_> = record.growth.iter().filter(|row| row.sockets == row.books).collect();
    let lines: [(&str, Vec<(f64, f64)>); 4] = [
        ("inside of poll, books", books.iter().map(|row| (f64::from(row.books), row.poll_ns)).collect()),
        ("inside of poll, sockets", sockets.iter().map(|row| (f64::from(row.sockets), row.poll_ns)).collect()),
        ("wire to book p50, books", books.iter().map(|row| (f64::from(row.books), row.wire_to_book_p50_ns)).collect()),
        (
            "wire to book p50, sockets",
            sockets.iter().map(|row| (f64::from(row.sockets), row.wire_to_book_p50_ns)).collect(),
        ),
    ];
    let high = lines.iter().flat_map(|line| &line.1).map(|point| point.1).fold(1.0_f64, f64::max);
    let most = record.growth.iter().map(|row| row.books).max().unwrap_or(1).max(10);
    let title = format!("Cost of a message, {} ({})", record.machine.host, record.date);
    draw(|area| {
        let (plot, legend) = area.split_horizontally(SIZE.0 - LEGEND_WIDTH);
        let mut chart = ChartBuilder::on(&plot)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(58)
            .build_cartesian_2d((1.0..f64::from(most)).log_scale(), 0.0..high * 1.1)?;
        chart
            .configure_mesh()
            .x_desc("books on one socket, or sockets with one book each")
            .y_desc("nanoseconds")
            .x_label_formatter(&|count| format!("{count}"))
            .y_label_formatter(&|ns| format!("{ns}"))
            .draw()?;
        for (at, (name, points)) in lines.iter().enumerate() {
            let style = style(at, Kind::Rival, false);
            chart.draw_series(LineSeries::new(points.iter().copied(), style).point_size(4))?;
            legend_line(&legend, at, name, style)?;
        }
        Ok(())
    })
}

fn draw(paint: impl FnOnce(&Area<'_>) -> Result<(), Box<dyn std::error::Error>>) -> Result<String, String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        let painted = area.fill(&WHITE).map_err(Into::into).and_then(|()| paint(&area));
        painted.and_then(|()| area.present().map_err(Into::into)).map_err(|error| format!("drawing: {error}"))?;
    }
    text.push('\n');
    Ok(text)
}

/// A sample of its line, and its name.
fn legend_line(area: &Area<'_>, at: usize, name: &str, style: ShapeStyle) -> Result<(), Box<dyn std::error::Error>> {
    let y = 50 + 20 * at as i32;
    area.draw(&PathElement::new(vec![(4, y), (28, y)], style))?;
    area.draw(&Text::new(name.to_owned(), (34, y - 7), ("sans-serif", 14)))?;
    Ok(())
}

/// Ours are thick and blue to violet, the floor is grey, others have the warm colors and green; sleepers are pale.
fn style(at: usize, kind: Kind, sleeps: bool) -> ShapeStyle {
    let step = at as f64;
    let color = match kind {
        Kind::Floor => HSLColor(0.0, 0.0, 0.35 + 0.12 * (step % 4.0)),
        Kind::Ours => HSLColor(0.55 + 0.05 * (step % 6.0), 0.85, 0.45),
        Kind::Rival => HSLColor([0.0, 0.09, 0.33, 0.92, 0.14, 0.42, 0.04][at % 7], 0.8, 0.42),
    };
    let (r, g, b) = color.to_backend_color().rgb;
    RGBColor(r, g, b).mix(if sleeps { 0.5 } else { 1.0 }).stroke_width(if kind == Kind::Ours { 3 } else { 1 })
}

/// Points from the middle of the distribution to one in ten thousand: nines of the percentile, microseconds.
fn curve(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    (0..=80)
        .map(|step| f64::from(step) / 20.0)
        // Beyond the last value there is nothing to draw.
        .filter(|nines| 10_f64.powf(*nines) <= histogram.len() as f64)
        .map(|nines| (nines, histogram.value_at_quantile(1.0 - 10_f64.powf(-nines)).max(1) as f64 / 1e3))
        .collect()
}

/// 1 is 90, 2 is 99, 3 is 99.9.
fn percentile_name(nines: f64) -> String {
    let percent = 100.0 - 100.0 * 10_f64.powf(-nines);
    let text = format!("{percent:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ContenderInfo, GrowthRow};
    use std::time::Duration;

    #[test]
    fn curves_run_from_the_least_to_the_tail() {
        let points = curve(&histogram((1..=1_000).map(|us| us * 1_000)).unwrap());
        assert_eq!(points.len(), 61);
        assert_eq!(points[0].0, 0.0);
        let near = |point: (f64, f64), nines: f64, us: f64| {
            (point.0 - nines).abs() < 1e-9 && (point.1 / us - 1.0).abs() < 0.01
        };
        assert!(near(points[20], 1.0, 900.0) && near(points[60], 3.0, 999.0), "{points:?}");
        assert_eq!([0.0, 1.0, 2.0, 4.0].map(percentile_name), ["0", "90", "99", "99.99"]);
    }

    #[test]
    fn pictures_name_every_line() {
        let contender =
            |name: &str, kind| ContenderInfo { name: name.into(), about: String::new(), kind, sleeps: false };
        let growth = GrowthRow { books: 10, sockets: 10, poll_ns: 900.0, ..GrowthRow::default() };
        let record = Record {
            contenders: vec![contender("floor-late", Kind::Floor), contender("wirebook", Kind::Ours)],
            growth: vec![growth],
            ..Record::default()
        };
        let round = |name: &str| (name.to_owned(), Duration::ZERO, Duration::ZERO, histogram(1_000..2_000).unwrap());
        let raw = Raw { load: "tls-10k".into(), rounds: vec![round("floor-late"), round("wirebook")] };
        let svg = curves(&record, &raw).unwrap();
        for text in ["<svg", "floor-late", "wirebook", "99.9", "tls-10k", "</svg>"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(super::growth(&record).unwrap().contains("inside of poll, sockets"));
        assert!(curves(&record, &Raw::default()).is_ok(), "nothing to draw is no error");
    }
}
