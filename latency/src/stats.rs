//! Figures of a series of times.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What is said of a series, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Quantiles {
    pub(crate) count: u64,
    pub(crate) mean_ns: f64,
    pub(crate) p50_ns: u64,
    pub(crate) p90_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) p999_ns: u64,
    pub(crate) max_ns: u64,
}

/// Longer than any latency that is not a failure.
const TIME_NS_MAX: u64 = 60_000_000_000;

/// A histogram with three digits.
pub(crate) fn histogram(times_ns: impl IntoIterator<Item = u64>) -> Result<Histogram<u64>, String> {
    let mut histogram = Histogram::new_with_bounds(1, TIME_NS_MAX, 3).map_err(|error| error.to_string())?;
    times_ns.into_iter().for_each(|ns| histogram.saturating_record(ns.max(1)));
    Ok(histogram)
}

impl Quantiles {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Quantiles {
        let at = |quantile: f64| histogram.value_at_quantile(quantile);
        Quantiles {
            count: histogram.len(),
            mean_ns: (histogram.mean() * 10.0).round() / 10.0,
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            max_ns: histogram.max(),
        }
    }
}

/// The middle one, or what lies between the two middle ones; `None` of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        len if len % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn quantiles_of_a_thousand() {
        let quantiles = Quantiles::of(&histogram(1..=1_000).unwrap());
        assert_eq!((quantiles.count, quantiles.mean_ns), (1_000, 500.5));
        assert_eq!([quantiles.p50_ns, quantiles.p90_ns, quantiles.p99_ns], [500, 900, 990]);
        assert_eq!((quantiles.p999_ns, quantiles.max_ns), (999, 1_000));
    }
}
