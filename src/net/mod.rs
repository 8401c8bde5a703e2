//! Transport: TCP, TLS, WebSocket, HTTP/1.1, DNS. Knows no venue.
