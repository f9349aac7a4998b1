//! Success over time as a picture.

use crate::{
    BoxError,
    arms::{Arm, Kind},
    scenario::Findings,
};
use plotters::prelude::*;
use std::path::Path;

/// Seconds that are shown: so many that each restart can be told apart.
const SHOWN: usize = 100;

pub(crate) fn draw(findings: &Findings, path: &Path) -> Result<(), BoxError> {
    let area = SVGBackend::new(path, (1000, 460)).into_drawing_area();
    area.fill(&WHITE)?;
    let rate = findings.scenario.rate;
    let title =
        format!("Answered requests while replicas restart ({rate} requests/s an arm, retries off)");
    let seconds = findings
        .arms
        .iter()
        .map(|finding| finding.tally.seconds.len());
    let end = seconds.max().unwrap_or(0).min(SHOWN) as f64;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..end, 0.0..104.0)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_desc("seconds; a tick below is a restart")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .y_desc("% of the requests of a second")
        .axis_desc_style(("sans-serif", 14))
        .label_style(("sans-serif", 13))
        .light_line_style(TRANSPARENT)
        .draw()?;

    for event in &findings.events {
        let x = event.as_secs_f64();
        if x < end {
            let tick = PathElement::new(vec![(x, 0.0), (x, 3.0)], BLACK.stroke_width(1));
            chart.draw_series([tick])?;
        }
    }
    for finding in &findings.arms {
        let style = style(finding.arm);
        let points = finding.tally.seconds.iter().take(SHOWN).enumerate();
        let points = points.filter(|(_, second)| second.sent > 0);
        let points = points.map(|(at, second)| {
            let success = f64::from(second.succeeded) / f64::from(second.sent);
            (at as f64 + 0.5, 100.0 * success)
        });
        chart
            .draw_series(LineSeries::new(points, style))?
            .label(finding.arm.to_string())
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 24, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::Coordinate(690, 215))
        .legend_area_size(34)
        .label_font(("sans-serif", 14))
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}

fn style(arm: Arm) -> ShapeStyle {
    let (color, width) = match arm.kind {
        Kind::LivenessOnly => (RGBColor(213, 94, 0), 1),
        Kind::ProbesOnly => (RGBColor(204, 121, 167), 1),
        Kind::ByHand => (RGBColor(86, 180, 233), 7),
        Kind::TowerReadiness | Kind::Served => (RGBColor(0, 100, 60), 2),
    };
    color.stroke_width(width)
}
