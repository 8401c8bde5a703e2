//! Frames of captures and of the documentation in, exact values out.
