//! Private frames, requests and answers, with exact values.
