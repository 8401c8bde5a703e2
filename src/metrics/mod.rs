//! Latency histograms.
